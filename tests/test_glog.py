"""glog: lines in glog's form, where they go, and when a program need not ask for them."""

import logging
import re
import subprocess
import sys

import pytest

from caffe import glog

LINE = r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w<>.]+:\d+\] "


def run(program, **environment):
    """What a Python program that imports caffe writes to stderr."""
    command = [sys.executable, "-c", "import caffe\n" + program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stderr


@pytest.fixture
def quiet():
    """The logger without a level of its own, and back to what it was."""
    logger = logging.getLogger("caffe")
    yield logger
    glog.init_log(3)  # closes what another one opened
    logger.removeHandler(glog._started.pop())
    logger.setLevel(logging.NOTSET)


def test_log_needs_no_init_log():
    assert re.fullmatch(LINE + "hello\n", run("caffe.log('hello')"))


def test_the_environment_silences_it():
    assert run("caffe.log('hello')", GLOG_minloglevel="2") == ""


def test_a_solver_logs_unless_the_program_logs_itself(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 } } } '
        'layer { name: "s" type: "Silence" bottom: "x" }'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1 lr_policy: "fixed" display: 1'
    )
    solve = f"caffe.get_solver('{tmp_path}/solver.prototxt').step(1)"
    assert re.search(LINE + "Iteration 0", run(solve))
    own = "import logging; logging.basicConfig(level='ERROR', format='own %(message)s')\n"
    assert run(own + solve) == ""


def test_init_log_chooses_level_and_place(tmp_path, monkeypatch, capsys, quiet):
    monkeypatch.setenv("GLOG_log_dir", str(tmp_path))
    glog.init_log(0, False)
    glog.log("to a file")
    glog.init_log(1, True)
    glog.log("not at all")
    quiet.warning("to stderr")
    (path,) = tmp_path.glob("python.*.log.INFO.*")
    assert re.fullmatch(LINE + "to a file\n", path.read_text())
    assert re.fullmatch(r"W.*\] to stderr\n", capsys.readouterr().err)
