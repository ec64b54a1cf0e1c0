"""Several processes that train one net: shares of the records, averaged gradients, `--gpu 0,1`."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe import CaffeError, launch, parallel, solver_param
from caffe.proto import caffe_pb2
from caffe.signals import SignalRequests
from tests.layer_checks import GOLDEN
from tests.solver_checks import line_solver, write_solver

NET = f"""
name: "three"
layer {{ name: "data" type: "Data" top: "x" top: "label"
  data_param {{ source: "{GOLDEN}/data/raw_lmdb" backend: LMDB batch_size: SIZE }}
  transform_param {{ scale: 0.01 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "z"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: 0.01 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }}
"""
SOLVER = """
base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 clip_gradients: 3 random_seed: 5
display: 2 max_iter: 4 test_iter: 1 test_interval: 2 snapshot_prefix: "PREFIX"
"""


@pytest.fixture(autouse=True)
def _alone():
    """Whatever a test says about other processes, there are none afterwards."""
    yield
    parallel.leave()


def _solver(folder, size: int, text: str = SOLVER) -> str:
    folder.mkdir()
    text = text.replace("PREFIX", f"{folder}/run")
    return write_solver(folder, text, net=NET.replace("SIZE", str(size)))


def _params(net) -> list[np.ndarray]:
    return [blob.data for blob in net.params["ip"]]


def _labels(phase: int) -> list[list[float]]:
    param = text_format.Parse(NET.replace("SIZE", "2"), caffe_pb2.NetParameter())
    net = caffe.Net(param, phase)
    return [net.forward(blobs=["label"])["label"].tolist() for _ in range(3)]


def test_each_trains_on_its_share_of_the_records():
    everything = _labels(caffe.TRAIN)
    assert everything == [[0, 1], [2, 0], [1, 2]]
    caffe.set_solver_count(3)
    caffe.set_solver_rank(1)
    assert (caffe.solver_count(), caffe.solver_rank()) == (3, 1)
    assert _labels(caffe.TRAIN) == [[1, 1], [1, 1], [1, 1]]
    assert _labels(caffe.TEST) == everything


def test_only_the_first_tests_logs_and_writes_snapshots(tmp_path, caplog):
    caplog.set_level("INFO", logger="caffe")
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    solver = caffe.get_solver(_solver(tmp_path / "run", 1))
    assert len(solver.test_nets) == 0
    solver.solve()
    assert not list(tmp_path.glob("run/run_*"))
    assert not caplog.records


def test_alone_an_nccl_changes_nothing(tmp_path):
    solver = line_solver(tmp_path, 'base_lr: 0.1 lr_policy: "fixed"')
    twin = line_solver(tmp_path, 'base_lr: 0.1 lr_policy: "fixed"')
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)
    for each in (solver, twin):
        each.step(3)
    assert all(map(np.array_equal, _params(solver.net), _params(twin.net)))


def test_two_halves_train_as_the_whole(tmp_path, capfd):
    whole = caffe.get_solver(_solver(tmp_path / "whole", 2))
    whole.solve()
    param = solver_param.read(_solver(tmp_path / "halves", 1))
    halves = launch.train(param, None, [None, None], SignalRequests())
    assert not halves.stopped
    for mine, theirs in zip(_params(halves.net), _params(whole.net), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    names = [path.name for path in sorted((tmp_path / "halves").glob("run_*"))]
    assert names == ["run_iter_4.caffemodel", "run_iter_4.solverstate"]
    state = str(tmp_path / "halves" / "run_iter_4.solverstate")
    param.max_iter = 6
    again = launch.train(param, state, [None, None], SignalRequests())
    assert again.iter == 6
    assert capfd.readouterr().err == ""


# In the manner of the program that comes with Caffe, on CPUs.
PROGRAM = """
import sys
from multiprocessing import Process
import caffe

def solve(proto, uid, rank):
    caffe.set_mode_cpu()
    caffe.set_solver_count(2)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(proto)
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    solver.net.save(f"{proto}.{rank}")

if __name__ == "__main__":
    uid = caffe.NCCL.new_uid()
    caffe.init_log()
    caffe.log("Using devices [0, 1]")
    processes = [Process(target=solve, args=(sys.argv[1], uid, rank)) for rank in range(2)]
    for process in processes:
        process.daemon = True
        process.start()
    for process in processes:
        process.join()
"""


def _run(folder, program: str, *args: str) -> subprocess.Popen:
    path = folder / "program.py"
    path.write_text(program)
    command = [sys.executable, str(path), *args]
    root = os.path.dirname(os.path.dirname(caffe.__file__))
    environment = os.environ | {"PYTHONPATH": root}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def test_a_program_for_pycaffes_nccl(tmp_path):
    whole = caffe.get_solver(_solver(tmp_path / "whole", 2))
    whole.step(4)
    with _run(tmp_path, PROGRAM, _solver(tmp_path / "halves", 1)) as process:
        _, log = process.communicate(timeout=100)
    first, second = (tmp_path / f"halves/solver.prototxt.{rank}" for rank in range(2))
    assert first.read_bytes() == second.read_bytes()
    expected = [blob.copy() for blob in _params(whole.net)]
    whole.net.copy_from(first)
    for mine, theirs in zip(_params(whole.net), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    assert "] Using devices [0, 1]\n" in log
    assert re.findall(r"\] Iteration (\d) \(", log) == ["0", "2"]


LAUNCH = """
import sys
from caffe import CaffeError, launch, solver_param
from caffe.glog import logging_to
from caffe.signals import SignalRequests

if __name__ == "__main__":
    with logging_to("program"):
        param = solver_param.read(sys.argv[1])
        solver = launch.train(param, None, [None, DEVICE], SignalRequests())
    sys.exit(130 if solver.stopped else 0)
"""


def test_a_signal_to_the_first_stops_all(tmp_path):
    path = _solver(tmp_path / "run", 1, SOLVER.replace("max_iter: 4", "max_iter: 100000000"))
    with _run(tmp_path, LAUNCH.replace("DEVICE", "None"), path) as process:
        for line in process.stderr:
            if "Iteration 10 " in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Optimization stopped early." in rest
    assert "caffe: " not in rest, "the other one was left alone"
    assert "Traceback" not in rest
    assert len(list(tmp_path.glob("run/run_iter_*.solverstate"))) == 1


def test_all_end_if_one_fails(tmp_path):
    with _run(tmp_path, LAUNCH.replace("DEVICE", "99"), _solver(tmp_path / "run", 1)) as process:
        _, log = process.communicate(timeout=100)
    assert process.returncode == 1
    assert re.search(r"^caffe: solver 1: set_(mode_gpu|device\(99\)): ", log, re.M)
    assert log.splitlines()[-1] == "caffe: solver 1 failed, so all end"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: caffe.set_solver_count(0), r"set_solver_count\(0\): expected at least 1"),
        (lambda: caffe.set_solver_rank(-1), r"set_solver_rank\(-1\): expected at least 0"),
    ],
)
def test_numbers_that_cannot_be(call, message):
    with pytest.raises(CaffeError, match=message):
        call()
