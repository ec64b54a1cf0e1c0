"""record_caffe.py: what it reads from a weights file, what it records, which Python can run it."""

import json
from pathlib import Path

import numpy as np
import pytest
import record_caffe
import vermin

import caffe

NET = """
input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 4 bias_filler { value: 9 } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" loss_weight: 1
  inner_product_param { num_output: %d } }
"""


@pytest.fixture
def files(tmp_path):
    """A net of layers a and b, and a weights file that only knows a."""
    path, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    path.write_text(NET % 5)
    whole = path.read_text()
    path.write_text(whole[: whole.index('layer { name: "b"')])
    net = caffe.Net(str(path), caffe.TEST)
    net.params["a"][0].data[...] = np.arange(12).reshape(4, 3)
    net.params["a"][1].data[...] = 2
    net.save(str(weights))
    path.write_text(whole)
    return path, weights


def job_of(tmp_path, net, **given):
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    np.save(tmp_path / "diff.npy", np.full((2, 5), 0.5, np.float32))
    job = {"weights": None, "start": None, "solver": None, "gpu": None, "phase": "TEST"}
    job |= {"follow": None, "tops": {"a": ["a"], "b": ["b"]}}
    inputs, diffs = {"x": str(tmp_path / "x.npy")}, {"b": str(tmp_path / "diff.npy")}
    return {**job, "net": str(net), "inputs": inputs, "diffs": diffs, **given}


def recorded(folder):
    index = json.loads((folder / "index.json").read_text())
    return {(kind, str(name)): np.load(folder / file) for kind, name, file in index}


def test_records_everything(tmp_path, files):
    net, weights = files
    out = tmp_path / "out"
    out.mkdir()
    heard = []
    record_caffe.record(job_of(tmp_path, net, weights=str(weights)), str(out), heard.append)
    found = recorded(out)
    assert {name for kind, name in found if kind == "weights read"} == {"['a', 0]", "['a', 1]"}
    assert {name for kind, name in found if kind == "weights start"} == {
        f"['{layer}', {i}]" for layer in "ab" for i in (0, 1)
    }
    np.testing.assert_array_equal(found["data", "a"], [[5, 14, 23, 32]] * 2)
    np.testing.assert_array_equal(found["weight gradient", "['b', 0]"], [[5, 14, 23, 32]] * 5)
    np.testing.assert_array_equal(found["gradient", "b"], np.full((2, 5), 0.5))
    np.testing.assert_array_equal(found["weights start", "['b', 0]"], np.zeros((5, 4)))
    assert heard[2:] == ["forward", "forward, layer by layer", "backward", "done"]


def test_starts_from_recorded_weights_that_fit(tmp_path, files):
    net, weights = files
    (tmp_path / "one").mkdir()
    record_caffe.record(job_of(tmp_path, net, weights=str(weights)), str(tmp_path / "one"))
    net.write_text(NET % 7)  # b no longer fits
    (tmp_path / "two").mkdir()
    job = job_of(tmp_path, net, start=str(tmp_path / "one"))
    record_caffe.record(job, str(tmp_path / "two"))
    found = recorded(tmp_path / "two")
    np.testing.assert_array_equal(found["data", "a"], [[5, 14, 23, 32]] * 2)
    assert found["weights start", "['b', 0]"].shape == (7, 4)
    np.testing.assert_array_equal(found["gradient", "b"], np.ones((2, 7)))  # the loss_weight


def test_follows_recorded_tops_for_the_gradients_alone(tmp_path, files):
    net, weights = files
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    record_caffe.record(job_of(tmp_path, net, weights=str(weights)), str(tmp_path / "one"))
    first = recorded(tmp_path / "one")
    np.testing.assert_array_equal(first["top", "['a', 'a']"], first["data", "a"])
    job = job_of(tmp_path, net, follow=str(tmp_path / "one"))  # from other weights
    record_caffe.record(job, str(tmp_path / "two"))
    second = recorded(tmp_path / "two")
    np.testing.assert_array_equal(second["data", "a"], np.full((2, 4), 9))
    np.testing.assert_array_equal(second["weight gradient", "['b', 0]"], [[5, 14, 23, 32]] * 5)


def test_steps_start_where_the_passes_did(tmp_path, files):
    net, _ = files
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{net}" base_lr: 0.5 lr_policy: "fixed" snapshot_prefix: "{net}"')
    (tmp_path / "out").mkdir()
    job = job_of(tmp_path, net, solver=str(solver), steps=2, phase="TRAIN")
    record_caffe.record(job, str(tmp_path / "out"))
    found = recorded(tmp_path / "out")
    bias = found["weights start", "['b', 1]"] - found["weights after", "['b', 1]"]
    np.testing.assert_array_equal(bias, [2.0] * 5)  # 2 steps of 0.5 times 2 images


def test_never_unpickles(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        record_caffe.load(path)


def test_runs_in_the_pythons_of_old_caffes():
    python2, python3 = vermin.detect(Path(record_caffe.__file__).read_text(encoding="utf-8"))
    assert python2 <= (2, 7)
    assert python3 <= (3, 4)


def test_help_shows_both_calls(capsys):
    record_caffe.main(["--help"])
    out = capsys.readouterr().out
    assert "python record_caffe.py types FOLDER" in out
    assert "python record_caffe.py net FOLDER JOB.json" in out
