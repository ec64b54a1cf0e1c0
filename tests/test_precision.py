"""Precision: what computes in what, how near it stays to float32, and fp16's loss scale."""

import numpy as np
import pytest
import torch

import caffe
from caffe.device import current_device
from caffe.precision import LossScale, low_type
from tests.layer_checks import net_from_text, relative_error
from tests.solver_checks import line_solver

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 7 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


@pytest.fixture(autouse=True)
def _back_to_fp32():
    yield
    caffe.set_precision("fp32")


def passed(tmp_path, precision):
    """The net after a forward and a backward pass in this precision."""
    caffe.set_random_seed(5)
    caffe.set_precision(precision)
    net = net_from_text(tmp_path, NET)
    rng = np.random.default_rng(2)
    net.blobs["x"].data[...] = rng.standard_normal((2, 3, 9, 7))
    net.blobs["label"].data[...] = [1, 3]
    net.forward()
    net.backward()
    return net


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_each_layer_computes_in_its_own_type(tmp_path, precision):
    net = passed(tmp_path, precision)
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert low_type() is low
    types = {name: value.dtype for name, value in net._values.items()}
    assert [types[name] for name in ("conv", "pool", "fc")] == [low] * 3
    assert [types[name] for name in ("x", "loss")] == [torch.float32] * 2
    weight = net.params["conv"][0]
    assert weight.tensor().dtype == weight.diff_tensor().dtype == torch.float32
    assert net.blobs["conv"].data.dtype == net.blobs["conv"].diff.dtype == np.float32


@pytest.mark.parametrize(("precision", "near"), [("bf16", 2e-2), ("fp16", 3e-3), ("tf32", 0)])
def test_results_stay_near_float32(tmp_path, precision, near):
    exact, rounded = passed(tmp_path, "fp32"), passed(tmp_path, precision)
    for name in ("fc", "loss"):
        assert relative_error(rounded.blobs[name].data, exact.blobs[name].data) <= near
    for name in ("conv", "fc"):
        got, want = rounded.params[name][0].diff, exact.params[name][0].diff
        assert relative_error(got, want) <= 2 * near
    if near:  # float32 would be exactly the same
        assert (rounded.blobs["fc"].data != exact.blobs["fc"].data).any()


def test_numbers_written_into_a_low_blob_are_computed_with(tmp_path):
    net = passed(tmp_path, "bf16")
    net.blobs["pool"].data[...] = 0
    net.forward(start="fc")
    np.testing.assert_array_equal(net.blobs["fc"].data, np.tile(net.params["fc"][1].data, (2, 1)))
    net.backward()
    assert np.isfinite(net.params["conv"][0].diff).all()


def test_max_poolings_places_are_exact_in_bf16(tmp_path):
    text = """
    layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 1 dim: 1 dim: 40 dim: 30 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 1 kernel_size: 1 weight_filler { value: 1 } } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" top: "place"
      pooling_param { global_pooling: true } }
    """
    caffe.set_precision("bf16")
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[0, 0, 33, 17] = 1
    assert net.forward()["place"].ravel().tolist() == [33 * 30 + 17]


def test_an_unknown_precision_names_the_known_ones():
    with pytest.raises(caffe.CaffeError, match='"int8"; expected one of fp32, tf32, bf16, fp16'):
        caffe.set_precision("int8")
    assert caffe.get_precision() == "fp32"


FIXED = 'base_lr: 0.01 lr_policy: "fixed" '


def test_fp16_trains_like_float32(tmp_path):
    weights = {}
    for precision in ("fp32", "fp16"):
        caffe.set_precision(precision)
        solver = line_solver(tmp_path, FIXED + "iter_size: 2")
        solver._loss_scale.value = 2**8
        scales = []
        solver.add_callback(
            lambda: None, lambda s=solver, seen=scales: seen.append(s.net.loss_scale)
        )
        solver.step(5)
        weights[precision] = solver.net.params["ip"][0].data.copy()
        assert scales == [{"fp32": 1, "fp16": 2**8}[precision]] * 5
    assert 0 < relative_error(weights["fp16"], weights["fp32"]) < 3e-3


def test_an_update_whose_gradients_overflow_is_left_out(tmp_path):
    caffe.set_precision("fp16")
    solver = line_solver(tmp_path, FIXED)
    before = solver.net.params["ip"][0].data.copy()
    updates = []
    solver.add_callback(lambda: None, lambda: updates.append(solver.iter))
    solver.net.blobs["y"].data[...] = 3  # times 2^16 that is more than float16 holds
    solver.step(1)
    assert updates == []
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, before)
    assert solver.iter == 1
    solver.step(4)
    assert updates
    assert (solver.net.params["ip"][0].data != before).any()


def test_the_loss_scale_falls_at_once_and_rises_with_patience(monkeypatch):
    scale = LossScale()
    monkeypatch.setattr(scale, "patience", 3)
    for finite, value in ((False, 2**15), (True, 2**15), (True, 2**15), (True, 2**16)):
        scale.update(finite)
        assert scale.value == value
    for _ in range(16):
        scale.update(False)
    assert scale.value == 1
    with pytest.raises(caffe.CaffeError, match="not finite whatever the loss scale"):
        scale.update(False)


@pytest.mark.parametrize(
    "change", ["view", "held view", "update", "file", "other net", "precision"]
)
def test_changed_weights_are_converted_again(tmp_path, change):
    if change == "held view" and current_device().type != "cpu":
        pytest.skip("on a device a view has to be asked for again before each change, as in Caffe")
    net = passed(tmp_path, "bf16")
    held = net.params["fc"][0].data if change == "held view" else None
    weights = net.params["fc"][0].data.copy()
    net.forward()
    before = net.blobs["fc"].data.copy()
    if change == "view":
        net.params["fc"][0].data[...] = -weights
    elif change == "held view":
        held[...] = -weights
    elif change == "update":
        with torch.no_grad():
            net.params["fc"][0].tensor().neg_()
    elif change == "precision":
        caffe.set_precision("fp16")
    else:
        other = net_from_text(tmp_path, NET)
        for name, blobs in net.params.items():
            for mine, blob in zip(other.params[name], blobs, strict=True):
                mine.data[...] = blob.data if name == "conv" else -blob.data
        other.save(str(tmp_path / "other.caffemodel"))
        if change == "file":
            net.copy_from(str(tmp_path / "other.caffemodel"))
        else:
            net.share_with(other)
    net.forward()
    expected = passed(tmp_path, "fp16").blobs["fc"].data if change == "precision" else -before
    np.testing.assert_array_equal(net.blobs["fc"].data, expected)


def test_weights_that_stay_are_converted_once(tmp_path):
    net = passed(tmp_path, "bf16")
    leaves = [net.params[name][0].used[torch.bfloat16] for name in ("conv", "fc")]
    first = net.params["fc"][0].diff.copy()
    net.forward()
    net.backward()
    for name, leaf in zip(("conv", "fc"), leaves, strict=True):
        assert net.params[name][0].used[torch.bfloat16] is leaf
    np.testing.assert_array_equal(net.params["fc"][0].diff, 2 * first)


def test_a_parameter_of_layers_in_both_precisions_gets_both_gradients(tmp_path):
    text = """
    layer { name: "in" type: "Input" top: "i" input_param { shape { dim: 3 } } }
    layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 dim: 6 } } }
    layer { name: "embed" type: "Embed" bottom: "i" top: "e" param { name: "w" }
      embed_param { num_output: 4 input_dim: 6 bias_term: false
        weight_filler { type: "gaussian" } } }
    layer { name: "fc" type: "InnerProduct" bottom: "e" top: "fc" param { name: "w" }
      inner_product_param { num_output: 6 bias_term: false } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" top: "loss" }
    """
    diffs = []
    for precision in ("fp32", "bf16"):
        caffe.set_random_seed(4)
        caffe.set_precision(precision)
        net = net_from_text(tmp_path, text)
        net.blobs["i"].data[...] = [5, 0, 3]
        net.blobs["label"].data[...] = np.arange(18).reshape(3, 6) % 5
        net.forward()
        net.backward()
        diffs.append(net.params["embed"][0].diff)
    assert relative_error(diffs[1], diffs[0]) < 1e-2
    assert (diffs[1] != diffs[0]).any()
