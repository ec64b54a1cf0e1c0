"""An original Caffe in a process of its own, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import record_caffe
from errors import UserError

import python_layers

SCRIPT = Path(record_caffe.__file__)
OLDEST = (3, 8)  # the Python that python_layers needs
TAIL = 12  # lines of the log that an error shows
FATAL = re.compile(r"F\d{4,8} [\d:.]+ +\d+ \S+\] ")  # what glog writes before it aborts


@dataclass(frozen=True)
class Facts:
    """What an original pycaffe is and has.

    messages: the fields of each message of its caffe.proto.
    """

    file: str
    python: str
    types: list[str]
    messages: dict[str, list[str]]

    @property
    def runs_our_layers(self) -> bool:
        """Whether its Python can import python_layers."""
        return tuple(map(int, self.python.split(".")[:2])) >= OLDEST


@dataclass(frozen=True)
class Original:
    """How to start it: the Python, what goes on its module and library paths, seconds to wait.

    `folder` is for its files: the program, python_layers, logs. Nothing else of ours is on its
    PYTHONPATH, least of all our own module caffe.
    """

    python: str
    pythonpath: str
    library_path: str
    timeout: float
    folder: Path

    def facts(self) -> Facts:
        """Ask it; UserError if there is no pycaffe, or none that can be imported."""
        out = self.folder / "facts"
        self._run("types", out)
        found = json.loads((out / "types.json").read_text(encoding="utf-8"))
        if "error" in found:
            raise UserError(f"{self.python}: {self._import_error(found['error'])}")
        return Facts(**found)

    def _import_error(self, text: str) -> str:
        missing = f"cannot import caffe: {text}"
        if "is no pycaffe" in text or re.search("No module named '?caffe'?$", text):
            where = self.pythonpath or "not given"
            return (
                f"{missing}; expected a folder that holds pycaffe, usually <caffe>/python: "
                f"--pythonpath ({where})"
            )
        if ".so" in text:
            where = self.library_path or "not given"
            return f"{missing}; add the folder of the library: --library-path ({where})"
        return f"{missing}; install what it needs there, or give another --python"

    def record(self, job: Path, out: Path) -> None:
        """Let it do a job of tools/record_caffe.py; UserError with its last lines if it fails."""
        self._run("net", out, job)

    def _run(self, what: str, out: Path, *words: Path) -> None:
        out.mkdir()
        program = self._program()
        command = [self.python, str(program), what, str(out), *map(str, words)]
        log = self.folder / f"{what}.log"
        with open(log, "wb") as file:
            ended = self._wait(command, file)
        if ended:
            raise UserError(f"{self.python}: the original Caffe {ended}\n{last_lines(log)}")

    def _program(self) -> Path:
        """The program beside python_layers, which Python looks for in the program's folder."""
        program = self.folder / SCRIPT.name
        if not program.exists():
            shutil.copy(SCRIPT, program)
            package = Path(python_layers.__file__).absolute().parent
            (self.folder / package.name).symlink_to(package)
        return program

    def _wait(self, command: list[str], log: object) -> str:
        """Run to the end; how it ended, "" if well. Whatever happens here ends it."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"--python {self.python}: cannot start: {error.strerror}; give the Python that the "
                "original Caffe was built for"
            ) from None
        try:
            return how_it_ended(process.wait(self.timeout))
        except subprocess.TimeoutExpired:
            return f"was still running after {self.timeout:g} s and was stopped (--timeout)"
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        libraries = [self.library_path, env.get("LD_LIBRARY_PATH", "")]
        return env | {
            "PYTHONPATH": self.pythonpath,
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GLOG_logtostderr": "1",
        }


def how_it_ended(code: int) -> str:
    """A process's exit code in words, "" for 0. Shells give 128 + a signal's number."""
    if code == 0:
        return ""
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"


def last_lines(log: Path) -> str:
    """The end of a log, or what leads to glog's fatal message, each line behind a bar."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    fatal = [number for number, line in enumerate(lines) if FATAL.match(line)]
    end = fatal[-1] + 1 if fatal else len(lines)
    shown = [line for line in lines[:end] if line.strip()][-TAIL:]
    return "\n".join(f"  | {line}" for line in shown) or "  | (it wrote nothing)"
