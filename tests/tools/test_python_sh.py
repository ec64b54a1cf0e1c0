"""Which Python the shell scripts take, and what they say where there is none that would do."""

import pathlib
import shutil
import subprocess
import sys

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
COMMANDS = [["distill.sh", "stage1"], ["distill.sh", "stage2", "--cache"], ["train_wsddn.sh"]]


@pytest.fixture
def clone(tmp_path):
    """A checkout without .venv whose programs only print the words they are called with."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe/__init__.py").touch()
    for path in TOOLS.glob("*.sh"):
        shutil.copy(path, tmp_path / "tools")
    for name in ("train", "cache_teacher"):
        text = "import sys\nprint(sys.argv)\n"
        (tmp_path / f"tools/{name}.py").write_text(text)
    return tmp_path


def run(clone, command, options="", **more):
    """The script under a python3 that is this one with these options."""
    path = clone / "bin/python3"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {options} "$@"\n')
    path.chmod(0o755)
    name, *words = command
    return subprocess.run(
        ["bash", f"tools/{name}", *words], cwd=clone, capture_output=True, text=True, check=False,
        env={"PATH": f"{path.parent}:/usr/bin:/bin", **more},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_without_what_the_tools_need_it_is_one_line(clone, command):
    got = run(clone, command, options="-S")  # no installed packages
    assert (got.returncode, got.stdout) == (1, "")
    assert got.stderr == (
        "expected a python3 with Caffe and OpenCV, got none; run make setup, or activate the "
        "environment that has them\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_activated_environment_does(clone, command):
    got = run(clone, command)
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout.count("train.py") == 1
    assert got.stdout.count("cache_teacher.py") == ("--cache" in command)


def test_the_environment_variable_comes_first(clone):
    got = run(clone, ["train_wsddn.sh"], options="-S", PYTHON=sys.executable)
    assert (got.returncode, got.stdout) == (0, "['tools/train.py', 'wsddn']\n")
