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
from caffe.commands import parse_log
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


def _log(capsys) -> list[str]:
    """The log's lines behind what glog puts in front."""
    return [line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]


def test_the_log_has_caffes_lines(tmp_path, capsys):
    rates = 'lr_policy: "step" gamma: 0.5 stepsize: 2 test_iter: 3 test_interval: 4 display: 2'
    text = f'base_lr: 0.1 {rates} max_iter: 4 snapshot: 4 snapshot_prefix: "{tmp_path}/run"'
    assert cli.main(["train", "--solver", write_solver(tmp_path, text)]) == 0
    lines = [line.replace(str(tmp_path), "T") for line in _log(capsys)]
    shown = "\n".join(re.sub(r"(?<=[( ])[\d.e-]+(?= iter/s|s/)", "N", line) for line in lines)
    output = "net output #0: loss = 0 (* 1 = 0 loss)"
    expected = f"""\
Solving line
Learning Rate Policy: step
Iteration 0, Testing net (#0)
    Test {output}
Iteration 0 (N iter/s, Ns/2 iters), loss = 0
    Train {output}
Iteration 0, lr = 0.1
Iteration 2 (N iter/s, Ns/2 iters), loss = 0
    Train {output}
Iteration 2, lr = 0.05
Snapshotting to binary proto file T/run_iter_4.caffemodel
Snapshotting solver state to binary proto file T/run_iter_4.solverstate
Iteration 4, loss = 0
Iteration 4, Testing net (#0)
    Test {output}
Optimization Done.
"""
    done, memory = shown.rsplit("\n", 1)
    assert f"{done}\n".endswith(expected)
    assert re.fullmatch(r"Peak memory: \d+\.\d\d GiB", memory)


def test_precision_and_recompute_reach_net_and_solver(tmp_path, capsys, monkeypatch):
    seen = []

    def solve(solver):
        seen.append((caffe.get_precision(), solver.net.recompute))

    monkeypatch.setattr(caffe.SGDSolver, "solve", solve)
    for flags in ([], ["--precision", "bf16", "--recompute"], ["--precision=fp32"]):
        assert cli.main(["train", "--solver", _solver(tmp_path), *flags]) == 0
    assert seen == [("fp32", False), ("bf16", True), ("fp32", False)]


def test_parse_log_reads_the_log(tmp_path, capsys):
    text = "test_iter: 2 test_interval: 3 display: 2"
    log = ["-log_dir", str(tmp_path)]
    assert cli.main(["train", "--solver", _solver(tmp_path, text), *log]) == 0
    (path,) = tmp_path.glob("caffe.*.log.INFO.*")
    train, tested = parse_log.parse_log(path)
    assert [row["NumIters"] for row in train] == [0, 2, 4]
    assert [row["NumIters"] for row in tested] == [0, 3, 6]
    assert list(train[0]) == ["NumIters", "Seconds", "LearningRate", "loss"]


def test_test_prints_each_batch_and_the_means(tmp_path, capsys):
    solver = caffe.SGDSolver(_solver(tmp_path))
    solver.net.params["ip"][1].data[...] = [3, 5]
    solver.net.save(tmp_path / "w.caffemodel")
    args = ["test", "--model", f"{tmp_path}/net.prototxt", "--weights", f"{tmp_path}/w.caffemodel"]
    assert cli.main([*args, "--iterations", "2"]) == 0
    # x = y = 0, so each of 3 rows costs (9 + 25) / 2
    lines = _log(capsys)
    first = lines.index("Running for 2 iterations.")
    assert lines[first + 1 :] == [
        "Batch 0, loss = 17",
        "Batch 1, loss = 17",
        "Loss: 17",
        "loss = 17 (* 1 = 17 loss)",
    ]


def test_time_lists_each_layer(tmp_path, capsys):
    _solver(tmp_path)
    assert cli.main(["time", "-model", f"{tmp_path}/net.prototxt", "-iterations", "2"]) == 0
    log = capsys.readouterr().err
    for layer in ("        ip", "      loss"):
        for way in ("forward", "backward"):
            assert re.search(rf"\] {layer}\t{way}: \S+ ms\.$", log, re.M)
    for what in ("Forward pass", "Backward pass", "Forward-Backward"):
        assert re.search(rf"\] Average {what}: \S+ ms\.$", log, re.M)
    assert len(re.findall(r"Iteration: \d forward-backward time: \S+ ms\.$", log, re.M)) == 2


def test_device_query(capsys):
    assert cli.main(["device_query"]) == 0
    assert re.search("CPU, .* threads|Total global memory: +\\d", capsys.readouterr().err)


def test_alone_it_prints_the_usage(capsys):
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    for name in ("train", "test", "time", "device_query", "weights"):
        assert re.search(rf"^    {name}\s+[A-Z]", shown, re.M)


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["-version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"caffe version {caffe.__version__}\n"


def test_flags_of_other_commands_and_before_the_command(tmp_path, capsys):
    """The original command has one set of flags and takes them anywhere."""
    _solver(tmp_path)
    line = f"-model {tmp_path}/net.prototxt -iterations=1 test -phase TEST"
    assert cli.main(line.split()) == 0
    log = capsys.readouterr().err
    assert "caffe test: --phase has no effect here\n" in log
    assert "Loss: 0" in log


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--solver", "nix.prototxt"], "nix.prototxt: cannot read"),
        (["train", "--solver", "S", "--snapshot", "nix.solverstate"], "nix.solverstate: cannot"),
        (["train", "--solver", "S", "--weights", "nix.caffemodel"], "nix.caffemodel: cannot read"),
        (["train", "--solver", "S", "--snapshot", "a", "--weights", "b"], "not both"),
        (["train", "--solver", "S", "--gpu", "x"], '--gpu "x": expected numbers of GPUs, like 0'),
        (["test", "--model", "N", "--gpu", "0,1"], '--gpu "0,1": expected one GPU'),
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


def test_ctrl_c_leaves_a_snapshot_and_ends_well(tmp_path):
    text = FIXED.replace("max_iter: 6", "max_iter: 100000000 display: 100")
    path = write_solver(tmp_path, text + f'snapshot_prefix: "{tmp_path}/run"')
    command = [sys.executable, "-m", "caffe", "train", "--solver", path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "Iteration 100 " in line:
                os.kill(process.pid, signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 0
    assert "Optimization stopped early." in rest
    assert "Traceback" not in rest
    assert len(list(tmp_path.glob("run_iter_*.solverstate"))) == 1
