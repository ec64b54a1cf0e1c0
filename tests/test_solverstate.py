"""Snapshots: the original's files are read, ours hold the same messages."""

import re
import shutil
from itertools import count

import numpy as np
import pytest

import caffe
from caffe import CaffeError, solverstate, weights_file
from caffe.caffemodel import blob_array, parse_binary
from caffe.proto import caffe_pb2, weights_pb2
from tests.layer_checks import relative_error
from tests.solver_checks import SOLVERS, assert_weights, golden_solver, line_solver, write_solver

FIXED = 'base_lr: 0.1 lr_policy: "fixed" '


def _state(path) -> weights_pb2.State:
    return parse_binary(path, weights_pb2.State())


def _assert_same_blobs(mine, theirs) -> None:
    assert len(mine) == len(theirs)
    for got, want in zip(mine, theirs, strict=True):
        assert [f.name for f, _ in got.ListFields()] == [f.name for f, _ in want.ListFields()]
        assert got.shape == want.shape
        assert relative_error(blob_array(got, "ours"), blob_array(want, "theirs")) <= 1e-5


@pytest.mark.parametrize("name", ["adam", "sgd_fixed"])
def test_writes_what_the_original_writes(tmp_path, monkeypatch, name):
    solver, _ = golden_solver(tmp_path, name)
    solver.param.snapshot_prefix = name
    monkeypatch.chdir(tmp_path)
    solver.step(12)
    solver.snapshot()
    mine, theirs = (_state(f / f"{name}_iter_12.solverstate") for f in (tmp_path, SOLVERS))
    _assert_same_blobs(mine.history, theirs.history)
    del mine.history[:], theirs.history[:]
    assert mine == theirs
    nets = [
        parse_binary(f / f"{name}_iter_12.caffemodel", weights_pb2.Net())
        for f in (tmp_path, SOLVERS)
    ]
    for got, want in zip(nets[0].layer, nets[1].layer, strict=True):
        _assert_same_blobs(got.blobs, want.blobs)
        del got.blobs[:], want.blobs[:]
    assert nets[0] == nets[1]


@pytest.mark.parametrize("name", ["adam", "sgd_fixed"])
def test_continues_from_the_originals_files(tmp_path, name):
    """Restored at 12 and trained on = trained from the start, and the state is written back."""
    solver, case = golden_solver(tmp_path, name, start="after5")
    solver.restore(SOLVERS / f"{name}_iter_12.solverstate")
    assert solver.iter == 12
    assert_weights(solver.net, case, "after12")
    solver.param.snapshot_prefix = str(tmp_path / "again")
    solver.snapshot()
    again = _state(tmp_path / "again_iter_12.solverstate")
    assert again.history == _state(SOLVERS / f"{name}_iter_12.solverstate").history
    whole, _ = golden_solver(tmp_path, name)
    whole.step(12 + 7)
    solver.step(7)
    for layer, blobs in whole.net.params.items():
        for mine, theirs in zip(solver.net.params[layer], blobs, strict=True):
            assert relative_error(mine.data, theirs.data) <= 1e-5


@pytest.mark.parametrize(
    "text",
    [
        'type: "Adam" momentum: 0.9',
        'type: "AdaDelta" momentum: 0.9',
        'type: "Nesterov" momentum: 0.9',
        'type: "RMSProp" rms_decay: 0.9',
    ],
)
def test_our_own_files_continue_exactly(tmp_path, text):
    """Bit for bit, from a folder that has moved since."""
    text = FIXED + text + f' weight_decay: 0.01 snapshot: 4 snapshot_prefix: "{tmp_path}/a/run"'
    whole = line_solver(tmp_path, text)
    whole.step(9)
    (tmp_path / "a").rename(tmp_path / "b")
    resumed = line_solver(tmp_path, text, seed=3)
    resumed.net.params["ip"][0].data[...] = 77
    resumed.restore(str(tmp_path / "b" / "run_iter_4.solverstate"))
    resumed.step(5)
    for mine, theirs in zip(resumed.net.params["ip"], whole.net.params["ip"], strict=True):
        assert np.array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("text", ['type: "Adam" momentum: 0.9', 'type: "SGD" momentum: 0.9'])
def test_hdf5_snapshots_continue_exactly(tmp_path, text, caplog):
    """Bit for bit, from a folder that has moved since."""
    caplog.set_level("INFO", logger="caffe")
    text = FIXED + text + " snapshot_format: HDF5 snapshot: 4 weight_decay: 0.01 "
    text += f'snapshot_prefix: "{tmp_path}/a/run"'
    whole = line_solver(tmp_path, text)
    whole.step(9)
    names = [f"run_iter_{i}.{kind}.h5" for i in (4, 8) for kind in ("caffemodel", "solverstate")]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert f"Snapshotting to HDF5 file {tmp_path}/a/{names[0]}\n" in caplog.text
    assert f"Snapshotting solver state to HDF5 file {tmp_path}/a/{names[1]}\n" in caplog.text
    (tmp_path / "a").rename(tmp_path / "b")
    resumed = line_solver(tmp_path, text, seed=3)
    resumed.net.params["ip"][0].data[...] = 77
    resumed.restore(str(tmp_path / "b" / "run_iter_4.solverstate.h5"))
    resumed.step(5)
    for mine, theirs in zip(resumed.net.params["ip"], whole.net.params["ip"], strict=True):
        assert np.array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("name", ["adam", "sgd_fixed"])
def test_the_originals_state_goes_through_hdf5_and_back(tmp_path, name):
    solver, _ = golden_solver(tmp_path, name)
    solver.restore(SOLVERS / f"{name}_iter_12.solverstate")
    solver.param.snapshot_prefix = str(tmp_path / "again")
    for form in (caffe_pb2.SolverParameter.HDF5, caffe_pb2.SolverParameter.BINARYPROTO):
        solver.param.snapshot_format = form
        solver.snapshot()
        if form == caffe_pb2.SolverParameter.HDF5:
            solver, _ = golden_solver(tmp_path, name)
            solver.restore(tmp_path / "again_iter_12.solverstate.h5")
            solver.param.snapshot_prefix = str(tmp_path / "again")
    again = _state(tmp_path / "again_iter_12.solverstate")
    assert again.history == _state(SOLVERS / f"{name}_iter_12.solverstate").history


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_snapshot_diff_keeps_the_diffs(tmp_path, form):
    text = FIXED + f'snapshot_diff: true snapshot_format: {form} snapshot_prefix: "{tmp_path}/run"'
    solver = line_solver(tmp_path, text)
    solver.step(1)
    solver.snapshot()
    (path,) = tmp_path.glob("run_iter_1.caffemodel*")
    stored = next(la for la in weights_file.read(path).layers if la.name == "ip")
    for blob, diff in zip(solver.net.params["ip"], stored.diffs, strict=True):
        assert diff.any()
        np.testing.assert_array_equal(diff, blob.diff)


def test_names_intervals_and_the_last_snapshot(tmp_path):
    text = FIXED + f'max_iter: 5 snapshot: 2 snapshot_prefix: "{tmp_path}/run"'
    line_solver(tmp_path, text).solve()
    names = sorted(path.name for path in tmp_path.glob("run*"))
    kinds = ("caffemodel", "solverstate")
    assert names == [f"run_iter_{i}.{kind}" for i in (2, 4, 5) for kind in kinds]
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    text = FIXED + f'max_iter: 3 snapshot_after_train: false snapshot_prefix: "{tmp_path}/out/r"'
    line_solver(tmp_path, text).solve()
    assert not (tmp_path / "out").exists()


def test_prefix_is_the_solvers_name_or_inside_a_folder(tmp_path):
    solver = line_solver(tmp_path, FIXED)
    assert solver.param.snapshot_prefix == str(tmp_path / "solver")
    (tmp_path / "out").mkdir()
    solver = line_solver(tmp_path, FIXED + f'snapshot_prefix: "{tmp_path}/out"')
    assert solver.param.snapshot_prefix == str(tmp_path / "out" / "solver")


def test_current_step_is_that_of_the_last_update(tmp_path):
    text = 'base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 4 '
    solver = line_solver(tmp_path, text + f'snapshot: 4 snapshot_prefix: "{tmp_path}/run"')
    solver.step(8)
    assert [_state(tmp_path / f"run_iter_{i}.solverstate").current_step for i in (4, 8)] == [0, 1]


def test_a_resting_parameter_keeps_its_place_in_the_file(tmp_path):
    """Frozen and without decay it has a history of zeros; with decay Adam counts the decay."""
    text = FIXED + 'type: "Adam" momentum: 0.9 weight_decay: 0.5 snapshot: 1 '
    text += f'snapshot_prefix: "{tmp_path}/run"'
    resting = "param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 1 }"
    line_solver(tmp_path, text, resting).step(1)
    _, _, history = solverstate.load(tmp_path / "run_iter_1.solverstate")
    assert [array.shape for array in history] == [(2, 5), (2,), (2, 5), (2,)]
    assert [bool(array.any()) for array in history] == [False, True, False, True]
    solver = line_solver(tmp_path, text, "param { lr_mult: 0 decay_mult: 2 }")
    solver.step(1)
    _, _, history = solverstate.load(tmp_path / "run_iter_1.solverstate")
    np.testing.assert_allclose(history[0], 0.1 * solver.net.params["ip"][0].data, rtol=1e-5)


def test_a_state_that_does_not_fit_changes_nothing(tmp_path):
    adam = SOLVERS / "adam_iter_12.solverstate"
    solver, case = golden_solver(tmp_path, "sgd_fixed")
    with pytest.raises(CaffeError) as error:
        solver.restore(adam)
    assert str(error.value).startswith(f"{adam}: expected 6 history blobs (SGD keeps 1 for each")
    assert "got 12" in str(error.value)
    assert solver.iter == 0
    assert_weights(solver.net, case, "init")


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_weights_that_do_not_fit_change_nothing_either(tmp_path, suffix):
    other = line_solver(tmp_path, FIXED)
    other.net.save(tmp_path / f"w.caffemodel{suffix}")
    path = tmp_path / f"s.solverstate{suffix}"
    solver, case = golden_solver(tmp_path, "sgd_fixed")
    history = [array + 1 for array in solver._updater.history]
    solverstate.save(path, 3, f"w.caffemodel{suffix}", history, 0)
    with pytest.raises(CaffeError, match=rf"w\.caffemodel{suffix}: no layer of it is in this net"):
        solver.restore(path)
    assert solver.iter == 0
    assert not any(array.any() for array in solver._updater.history)
    assert_weights(solver.net, case, "init")


def test_a_history_of_other_shapes_is_refused(tmp_path):
    path = tmp_path / "s.solverstate"
    solverstate.save(path, 3, "", [np.zeros((2, 4)), np.zeros(2)], 0)
    with pytest.raises(
        CaffeError, match=r"s\.solverstate: history blob 0: expected shape \(2, 5\)"
    ):
        line_solver(tmp_path, FIXED).restore(path)


def test_a_state_without_its_weights_is_refused(tmp_path):
    shutil.copy(SOLVERS / "sgd_fixed_iter_12.solverstate", tmp_path / "s.solverstate")
    with pytest.raises(CaffeError, match=r"weights sgd_fixed_iter_12\.caffemodel are neither"):
        solverstate.load(tmp_path / "s.solverstate")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nix.solverstate", None, "cannot read"),
        ("s.solverstate.h5", b"", "not an HDF5 file, or damaged"),
        ("none.solverstate.h5", None, "cannot read"),
        ("junk.solverstate", b"\xff\xff\xff", "not a binary protobuf file"),
        ("empty.solverstate", b"", r"no iteration in it \(expected a .solverstate\)"),
    ],
)
def test_files_that_are_no_state(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CaffeError, match=f"{name}: {message}"):
        solverstate.load(tmp_path / name)


@pytest.mark.parametrize("name", [b"w\0.caffemodel", b"w\xff.caffemodel", b"w" * 5000])
def test_a_damaged_name_of_the_weights_is_refused(tmp_path, name):
    state = weights_pb2.State(iter=5, learned_net="#")
    (tmp_path / "s.solverstate").write_bytes(
        state.SerializeToString().replace(b"\x12\x01#", b"\x12" + _varint(len(name)) + name)
    )
    with pytest.raises(CaffeError, match=r"s\.solverstate: its weights .* are neither there"):
        solverstate.load(tmp_path / "s.solverstate")


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


def test_a_caffemodel_is_no_state():
    with pytest.raises(CaffeError, match="no iteration in it"):
        solverstate.load(SOLVERS / "adam_iter_12.caffemodel")


def test_an_interrupted_write_leaves_the_old_files(tmp_path, monkeypatch):
    text = FIXED + f'snapshot_prefix: "{tmp_path}/run"'
    solver = caffe.SGDSolver(write_solver(tmp_path, text))
    solver.snapshot()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("run*")}
    solver.net.params["ip"][0].data[...] = 5

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(CaffeError, match=r"run_iter_0\.caffemodel: cannot write: No space left"):
        solver.snapshot()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("run*")} == before
    assert not list(tmp_path.glob(".*"))


def test_the_speed_counts_from_the_restored_iteration(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="caffe")
    text = FIXED + f'display: 3 snapshot: 6 snapshot_prefix: "{tmp_path}/run"'
    line_solver(tmp_path, text).step(6)
    clock = count()
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # a second from call to call
    solver = line_solver(tmp_path, text)
    solver.restore(tmp_path / "run_iter_6.solverstate")
    caplog.clear()
    solver.step(4)
    shown = re.findall(r"Iteration (\d) \((\d) iter/s, ", caplog.text)
    assert shown == [("6", "0"), ("9", "3")]
