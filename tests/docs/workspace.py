"""A copy of the repository in which a document's commands are run, or only written down."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

from tests.docs.documents import ROOT

HERE = pathlib.Path(__file__).parent
FOLDERS = ("caffe", "data", "docs", "models", "python_layers", "tests", "tools")
LEFT_OUT = ("__pycache__", "golden", "demo", "coco", "nuswide", "voc2007")  # below data/ and tests/
TIMEOUT = 600  # a busy machine is no error


def copy_repository(target):
    """Copy what a checkout has, and the native operators: no data sets, no results."""
    for name in FOLDERS:
        left_out = LEFT_OUT if name in ("data", "tests") else LEFT_OUT[:1]
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns(*left_out))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, target)


def entry_points():
    """{command: "module:function"} of the project's own commands."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def write_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Workspace:
    """A context manager: the copy in `folder`, `run` and `record` for blocks of shell commands.

    variables: more of the environment of what is run. furnished: what miniature.py has put here.
    """

    def __init__(self, temporary, gpu=False):
        self.temporary, self.folder, self.gpu = temporary, temporary / "repository", gpu
        self.variables, self.furnished = {}, set()

    def __enter__(self):
        copy_repository(self.folder)
        # A path in the temporary folder of the test may be too long for a socket.
        self._socket_folder = tempfile.TemporaryDirectory()
        self.socket = pathlib.Path(self._socket_folder.name, "python")
        self.server = None
        self.write_programs()
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.kill()
            self.server.wait()
        self._socket_folder.cleanup()

    def start_server(self):
        """Start python_server.py, with the copy's packages and nothing else of the copy."""
        packages = self.temporary / "packages"
        packages.mkdir()
        for name in ("caffe", "python_layers"):
            (packages / name).symlink_to(self.folder / name)
        words = [sys.executable, str(HERE / "python_server.py"), str(self.socket), str(packages)]
        self.server = subprocess.Popen(words, cwd=self.folder, env=self.environment("run"))
        while not self.socket.exists():
            if self.server.poll() is not None:
                raise RuntimeError("python_server.py ended before it answered anything")
            time.sleep(0.05)

    def environment(self, programs):
        """The environment of the commands, with the folder of these programs first in PATH."""
        found = f"{self.temporary / programs}:/usr/local/bin:/usr/bin:/bin"
        python = str(self.temporary / programs / "python")
        fixed = {"OMP_NUM_THREADS": "1", "RECORD": str(self.temporary / "recorded")}
        if not self.gpu:
            fixed["CUDA_VISIBLE_DEVICES"] = ""
        return {**os.environ, **fixed, "PATH": found, "PYTHON": python, **self.variables}

    def write_programs(self):
        """run/: programs that ask the server; record/: programs that write down their words."""
        programs = {"python": "python"} | entry_points()
        for name, target in programs.items():
            ask = f'exec {sys.executable} -IS {HERE / "ask.py"} {self.socket} {target} "$@"'
            self.add_program(name, ask)
        record = r"""printf '%s\0' "$PWD" "${0##*/}" "$@" >>"$RECORD"; printf '\n\0' >>"$RECORD" """
        for name in programs:
            write_script(self.temporary / "record" / name, f"#!/bin/bash\n{record}\n")
        write_script(self.folder / ".venv" / "bin" / "activate", "")
        make = 'exec /usr/bin/env -i PATH=/usr/bin:/bin make --dry-run "$@" >/dev/null'
        write_script(self.temporary / "record" / "make", f"#!/bin/bash\n{make}\n")

    def add_program(self, name, text):
        """Have a shell script found under this name by what is run."""
        write_script(self.temporary / "run" / name, f"#!/bin/bash\n{text}\n")

    def _shell(self, text, programs):
        return subprocess.run(
            ["bash", "-euc", text],
            cwd=self.folder,
            env=self.environment(programs),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def run(self, text):
        """Run shell commands; a CompletedProcess."""
        if not self.server:
            self.start_server()
        return self._shell(text, "run")

    def record(self, text):
        """Run shell commands in which the project's programs only write down how they are called.

        Returns (CompletedProcess, calls); a call is [folder, program, words...].
        """
        path = self.temporary / "recorded"
        path.write_text("")
        done = self._shell(text, "record")
        calls = [call.split("\0")[:-1] for call in path.read_text().split("\n\0")[:-1]]
        return done, calls
