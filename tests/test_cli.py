"""The `caffe` command line."""

import logging
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import caffe
from caffe import caffemodel, cli
from tests.solver_checks import write_solver

FIXED = 'base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 6 '


def _blobs(path) -> list[np.ndarray]:
    return next(layer.blobs for layer in caffemodel.read(path).layers if layer.name == "ip")


def _solver(folder, text: str = "") -> str:
    return write_solver(folder, FIXED + f'snapshot_prefix: "{folder}/run" {text}')


def test_train_then_resume_then_finetune(tmp_path, capsys):
    path = _solver(tmp_path, "snapshot: 4 display: 2")
    assert cli.main(["train", "--solver", path]) == 0
    log = capsys.readouterr().err
    assert re.search(r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.py:\d+\] Iteration 4 ", log, re.M)
    first = _blobs(tmp_path / "run_iter_6.caffemodel")
    # the original command's single dash
    assert cli.main(["train", "-solver", path, f"-snapshot={tmp_path}/run_iter_4.solverstate"]) == 0
    again = _blobs(tmp_path / "run_iter_6.caffemodel")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    weights = f"{tmp_path}/run_iter_4.caffemodel, {tmp_path}/run_iter_6.caffemodel"
    still = write_solver(
        tmp_path, f'base_lr: 0 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{tmp_path}/w"'
    )
    assert cli.main(["train", "--solver", still, "--weights", weights]) == 0
    tuned = _blobs(tmp_path / "w_iter_1.caffemodel")
    assert all(np.array_equal(a, b) for a, b in zip(first, tuned, strict=True))


def test_test_prints_the_mean_outputs(tmp_path, capsys):
    solver = caffe.SGDSolver(_solver(tmp_path))
    solver.net.params["ip"][1].data[...] = [3, 5]
    solver.net.save(tmp_path / "w.caffemodel")
    args = ["test", "--model", f"{tmp_path}/net.prototxt", "--weights", f"{tmp_path}/w.caffemodel"]
    assert cli.main([*args, "--iterations", "2"]) == 0
    # x = y = 0, so each of 3 rows costs (9 + 25) / 2
    line = "Test net output #0: loss = 17 (* 1 = 17 loss)"
    assert line in capsys.readouterr().err


def test_time_lists_each_layer(tmp_path, capsys):
    _solver(tmp_path)
    assert cli.main(["time", "-model", f"{tmp_path}/net.prototxt", "-iterations", "2"]) == 0
    log = capsys.readouterr().err
    for layer in ("ip", "loss"):
        assert re.search(rf" {layer}\tforward: \S+ ms, backward: \S+ ms\.$", log, re.M)
    assert re.search(r"Average Forward-Backward: \S+ ms\.$", log, re.M)


def test_device_query(capsys):
    assert cli.main(["device_query"]) == 0
    assert "threads" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--solver", "nix.prototxt"], "nix.prototxt: cannot read"),
        (["train", "--solver", "S", "--snapshot", "nix.solverstate"], "nix.solverstate: cannot"),
        (["train", "--solver", "S", "--weights", "nix.caffemodel"], "nix.caffemodel: cannot read"),
        (["train", "--solver", "S", "--snapshot", "a", "--weights", "b"], "not both"),
        (["train", "--solver", "S", "--gpu", "0,1"], '--gpu "0,1": expected the number of one'),
        (["test", "--model", "N", "--iterations", "0"], "expected at least 1"),
        (["time", "--model", "N", "--iterations", "0"], "expected at least 1"),
    ],
)
def test_mistakes_are_one_line_and_code_1(tmp_path, capsys, args, message):
    names = {"S": _solver(tmp_path), "N": f"{tmp_path}/net.prototxt"}
    assert cli.main([names.get(word, word) for word in args]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("caffe: ")
    assert message in last
    assert not logging.getLogger("caffe").handlers


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_named_gpu_must_exist(tmp_path, capsys):
    assert cli.main(["train", "--solver", _solver(tmp_path), "--gpu", "0"]) == 1
    assert "no CUDA GPU" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["train"], ["test"], ["time"], ["device_query"]])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    assert end.value.code == 0
    assert "usage: caffe" in capsys.readouterr().out


def test_ctrl_c_leaves_a_snapshot_and_code_130(tmp_path):
    text = FIXED.replace("max_iter: 6", "max_iter: 100000000 display: 100")
    path = write_solver(tmp_path, text + f'snapshot_prefix: "{tmp_path}/run"')
    command = [sys.executable, "-m", "caffe", "train", "--solver", path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "Iteration 100 " in line:
                os.kill(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Optimization stopped early." in rest
    assert "Traceback" not in rest
    assert len(list(tmp_path.glob("run_iter_*.solverstate"))) == 1
