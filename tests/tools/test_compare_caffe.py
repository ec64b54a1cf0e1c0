"""compare_caffe.py against this engine in another process: as it is, and changed in one place."""

import json
import os
import signal
import subprocess
import sys
import time

import compare_caffe
import numpy as np
import pytest
import record_caffe

import caffe
from tests.tools import original_fakes

# The overlapping maxima are equal in pairs: what looks for one of them again must not depend on
# the last bit of Interp.
NET = """
layer { name: "in" type: "Input" top: "data" top: "rois" top: "label" input_param {
  shape { dim: 2 dim: 3 dim: 11 dim: 9 } shape { dim: 5 dim: 6 } shape { dim: 5 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 7 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 1 } }
layer { name: "larger" type: "Interp" bottom: "pool" top: "larger"
  interp_param { height: 10 width: 8 } }
layer { name: "roi" type: "ROIPooling" bottom: "larger" bottom: "rois" top: "roi"
  roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.9 score_scale: 10 score_bias: 1 } }
layer { name: "drop" type: "Dropout" bottom: "roi" top: "roi" }
layer { name: "fc" type: "InnerProduct" bottom: "roi" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "p" type: "Sigmoid" bottom: "fc" top: "p" }
"""
LOSS = """
layer { name: "loss" type: "CrossEntropyLoss" bottom: "p" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "elsewhere" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 9 snapshot: 1'
POOLING = """
real = types["Pooling"].forward
types["Pooling"].forward = lambda self, x: real(self, x) * 1.001
"""
RATE = (
    "lr_policy.learning_rate = (lambda real: lambda *a: 1.01 * real(*a))(lr_policy.learning_rate)"
)


@pytest.fixture
def files(tmp_path):
    """net.prototxt, weights.caffemodel, solver.prototxt."""
    names = ("net.prototxt", "weights.caffemodel", "solver.prototxt")
    net, weights, solver = (str(tmp_path / name) for name in names)
    (tmp_path / "net.prototxt").write_text(NET + LOSS)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    caffe.Net(net, caffe.TEST).save(weights)
    return net, weights, ["--solver", solver, "--steps", "2"]


def run(tmp_path, words, capsys):
    """(exit code, the rows of --json, what was printed)."""
    result = tmp_path / "result.json"
    code = compare_caffe.main([*words, "--json", str(result)])
    out, err = capsys.readouterr()
    assert not err
    return code, json.loads(result.read_text()), out


def test_agrees_with_itself_through_python_layers(tmp_path, files, capsys):
    net, weights, solver = files
    options = original_fakes.bvlc(tmp_path)
    code, result, out = run(tmp_path, [*options, net, weights, *solver], capsys)
    assert code == 0, out
    assert "Python layers in the original: larger, roi, loss" in out
    assert "drop (Dropout)" in out
    assert "agree: largest relative difference" in out
    rows = {(row["kind"], row["name"]): row for row in result["rows"]}
    assert {kind for kind, _ in rows} == {
        "weights read", "data", "gradient", "weight gradient", "weights after"
    }  # fmt: skip
    assert rows["data", "roi"]["shape"] == [5, 7, 2, 3]
    assert rows["weights after", "fc[1]"]["largest"] > 0
    assert all(row["relative"] < 1e-5 for row in rows.values())
    assert any(row["relative"] > 0 for row in rows.values())  # numpy rounds in its own way


def test_shows_the_layer_that_departs_first(tmp_path, files, capsys):
    net, weights, _ = files
    options = original_fakes.engine(tmp_path, POOLING)
    code, result, out = run(tmp_path, [*options, net, weights, "--rows", "3"], capsys)
    assert code == 1
    first, *others = result["rows"]
    assert (first["name"], first["kind"], first["computed_by"]) == ("pool", "data", "pool")
    assert first["relative"] == pytest.approx(1 - 1 / 1.001, rel=1e-3)
    differences = [row["relative"] for row in others]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > first["relative"]
    assert "the first to depart is data of pool, computed by pool" in out


def test_notices_another_learning_rate(tmp_path, files, capsys):
    net, weights, solver = files
    options = original_fakes.engine(tmp_path, RATE)
    code, result, out = run(tmp_path, [*options, net, weights, *solver[:2]], capsys)
    above = [row for row in result["rows"] if row["above"]]
    assert code == 1
    assert {row["kind"] for row in above} == {"weights after"}
    assert [row["relative"] for row in above] == pytest.approx([1 - 1 / 1.01] * 4, rel=1e-3)
    assert "of conv[0], computed by conv" in out


def test_deploy_net_with_given_inputs_and_random_weights(tmp_path, capsys):
    net, inputs = tmp_path / "net.prototxt", tmp_path / "inputs.npz"
    net.write_text(NET)
    np.savez(inputs, data=np.ones((1, 3, 11, 9)), rois=np.array([[0, 1, 2, 7, 9, 0.5]]))
    words = ["--python", sys.executable, str(net), "--inputs", str(inputs), "--lacks", "ROIPooling"]
    code, result, out = run(tmp_path, words, capsys)
    assert code == 0, out
    assert "no loss: gradients from random ones of the outputs: p" in out
    assert "the original is this engine itself" in out
    rows = {(row["kind"], row["name"]): row for row in result["rows"]}
    assert rows["data", "p"]["shape"] == [1, 4]
    assert rows["weight gradient", "conv[0]"]["largest"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--pythonpath", "/opt/caffe/python"],
            "imports this engine and not the caffe of --python",
        ),
        (["--inputs", "net.prototxt"], "net.prototxt: expected an .npz file of plain arrays"),
        (["--inputs", "more.npz"], "--inputs: expected data, rois, label, got also extra"),
        (["--inputs", "none.npz"], "none.npz: No such file or directory"),
        (["--solver", "none.prototxt"], "none.prototxt: cannot read: No such file"),
    ],
)
def test_says_what_does_not_fit(tmp_path, files, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    np.savez("more.npz", extra=np.zeros(1))
    facts = compare_caffe.Facts(**record_caffe.describe())
    monkeypatch.setattr(compare_caffe.Original, "facts", lambda self: facts)
    assert compare_caffe.main(["--python", "p", "net.prototxt", *options]) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net", "--python", "p", "--solver", "s", "--phase", "TEST"], "does not go with --solver"),
        (["net", "--python", "p", "--tolerance", "0"], "expected a number above 0, got '0'"),
        (["net", "--python", "p", "--lacks", "Foo"], "expected one of BN, CrossEntropyLoss"),
        (["net"], "required: --python"),
    ],
)
def test_wrong_command_lines_end_with_2(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        compare_caffe.main(words)
    assert message in capsys.readouterr().err


def test_ctrl_c_ends_both(tmp_path, files):
    pid = tmp_path / "pid"
    text = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    program = [sys.executable, compare_caffe.__file__, *original_fakes.module(tmp_path, text)]
    with subprocess.Popen([*program, files[0]], stderr=subprocess.PIPE, text=True) as process:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "compare_caffe.py: stopped" in process.communicate()[1]
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
