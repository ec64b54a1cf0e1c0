"""Net: pycaffe's behaviour of blobs, params, partial passes, sharing and errors."""

import re
import warnings
import weakref

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe import net as net_module
from caffe.device import set_mode_gpu
from caffe.proto import caffe_pb2
from tests.layer_checks import net_from_text, relative_error

MLP = """
name: "mlp" force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc1" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "act" type: "ReLU" bottom: "h" top: "h" }
layer { name: "fc2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
"""


@pytest.fixture
def net(tmp_path):
    caffe.set_random_seed(3)
    net = net_from_text(tmp_path, MLP)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((2, 3))
    return net


def expected(net):
    """Everything the net computes, by numpy alone."""
    x = net.blobs["x"].data
    (w1, b1), (w2, b2) = ([blob.data for blob in net.params[name]] for name in ("fc1", "fc2"))
    before = x @ w1.T + b1
    h = np.maximum(before, 0)
    return before, h, h @ w2.T + b2


def test_names_and_shapes_are_known_before_the_first_forward(net):
    assert list(net.blobs) == ["x", "h", "y"]
    assert list(net.params) == ["fc1", "fc2"]
    assert (net.inputs, net.outputs, net.name) == (["x"], ["y"], "mlp")
    assert net.blobs["y"].data.shape == (2, 4)
    assert net.params["fc1"][0].shape == (5, 3)
    assert net._layer_names == ["in", "fc1", "act", "fc2"]
    names = [[net._blob_names[j] for j in net._top_ids(i)] for i in range(4)]
    assert names == list(net.top_names.values())
    names = [[net._blob_names[j] for j in net._bottom_ids(i)] for i in range(4)]
    assert names == list(net.bottom_names.values())
    assert list(net.top_names["act"]) == ["h"]


def test_forward_returns_outputs_and_asked_blobs(net):
    _, h, y = expected(net)
    out = net.forward(blobs=["h"])
    assert set(out) == {"y", "h"}
    assert relative_error(out["y"], y) < 1e-6
    assert relative_error(out["h"], h) < 1e-6


def test_forward_takes_inputs_by_name(net):
    net.forward(x=np.ones((2, 3)))
    assert relative_error(net.blobs["y"].data, expected(net)[2]) < 1e-6
    with pytest.raises(caffe.CaffeError, match='no input blob "z"; inputs: x'):
        net.forward(z=np.ones((2, 3)))


@pytest.mark.parametrize("array", [np.ones((2, 5)), np.ones((1, 3)), np.ones(3), 7.0])
def test_arrays_must_have_as_many_items_as_the_blob(net, array):
    shape = re.escape(str(np.shape(array)))
    pattern = rf'input blob "x": expected an array \(2, 3\), got {shape}'
    with pytest.raises(caffe.CaffeError, match=pattern):
        net.forward(x=array)
    net.forward()
    pattern = rf'diff of blob "y": expected an array \(2, 4\), got {shape}'
    with pytest.raises(caffe.CaffeError, match=pattern):
        net.backward(y=array)
    assert 7 not in net.blobs["x"].data
    assert 7 not in net.blobs["y"].diff


def test_looking_at_parameters_between_the_passes_changes_no_gradient(tmp_path):
    """From then on their tensor may be another one: on a GPU, and in another memory format."""
    text = MLP.replace("dim: 2 dim: 3", "dim: 2 dim: 3 dim: 1 dim: 1").replace(
        'name: "fc1" type: "InnerProduct"',
        'name: "fc1" type: "Convolution" convolution_param { kernel_size: 1 num_output: 5 }',
    )
    gradients = []
    for look in (False, True):
        net = net_from_text(tmp_path, text)
        net.blobs["x"].data[...] = 1
        for blob in [*net.params["fc1"], *net.params["fc2"]]:
            blob.data[...] = 0.1
        net.forward()
        if look:
            assert all(blob.data.any() for blob in net.params["fc1"])
        net.backward(y=np.ones((2, 4)))
        gradients.append(net.params["fc1"][0].diff.copy())
    assert gradients[0].any()
    np.testing.assert_array_equal(*gradients)


def test_arrays_may_lack_what_numpy_fills_in(net):
    net.forward(x=np.array([[2.0], [5.0]]))
    np.testing.assert_array_equal(net.blobs["x"].data, [[2, 2, 2], [5, 5, 5]])


def test_backward_by_hand(net):
    before, h, _ = expected(net)
    net.forward()
    top = np.random.default_rng(2).standard_normal((2, 4)).astype(np.float32)
    out = net.backward(y=top)
    w1, w2 = net.params["fc1"][0].data, net.params["fc2"][0].data
    dh = (top @ w2) * (before > 0)
    assert relative_error(net.params["fc2"][0].diff, top.T @ h) < 1e-6
    assert relative_error(net.params["fc2"][1].diff, top.sum(0)) < 1e-6
    assert relative_error(net.blobs["h"].diff, dh) < 1e-6  # of the version before the ReLU
    assert relative_error(out["x"], dh @ w1) < 1e-6


def test_parameter_diffs_add_up_and_blob_diffs_do_not(net):
    net.forward()
    net.backward(y=np.ones((2, 4)))
    param, blob = net.params["fc1"][0].diff.copy(), net.blobs["x"].diff.copy()
    net.backward(y=np.ones((2, 4)))
    np.testing.assert_allclose(net.params["fc1"][0].diff, 2 * param, rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["x"].diff, blob)
    net.clear_param_diffs()
    assert not net.params["fc1"][0].diff.any()


def test_partial_forward_reads_what_the_user_wrote(net):
    net.forward()
    net.blobs["h"].data[...] = np.arange(10).reshape(2, 5)
    out = net.forward(start="fc2")
    w2, b2 = (blob.data for blob in net.params["fc2"])
    assert relative_error(out["y"], np.arange(10).reshape(2, 5) @ w2.T + b2) < 1e-6


def test_partial_forward_ends_where_told(net):
    before, _, _ = expected(net)
    out = net.forward(end="fc1")
    assert list(out) == ["h"]
    assert relative_error(out["h"], before) < 1e-6


def test_partial_backward_starts_from_the_blobs_diff(net):
    net.forward()
    net.blobs["h"].diff[...] = 1
    out = net.backward(start="fc1", end="fc1")
    assert relative_error(out["x"], np.ones((2, 5)) @ net.params["fc1"][0].data) < 1e-6
    assert not net.params["fc2"][0].diff.any()


def test_gradient_flows_through_a_blob_the_user_changed(net):
    net.forward()
    net.blobs["h"].data[...] += 1
    net.forward(start="fc2")
    net.backward(y=np.ones((2, 4)))
    assert net.blobs["x"].diff.any()


def test_reshape_carries_a_new_batch_size(net):
    net.blobs["x"].reshape(7, 3)
    net.reshape()
    assert net.blobs["y"].data.shape == (7, 4)
    net.blobs["x"].data[...] = 2
    assert net.forward()["y"].shape == (7, 4)


@pytest.mark.parametrize("forced", [False, True])
def test_frozen_parameters_get_a_gradient_only_if_forced(tmp_path, forced):
    """force_backward also computes what lr_mult 0 leaves out; a golden Adam history shows it."""
    text = MLP.replace('top: "h"\n', 'top: "h" param{lr_mult:0} param{lr_mult:0}\n', 1)
    net = net_from_text(tmp_path, text if forced else text.replace("force_backward: true", ""))
    net.blobs["x"].data[...] = 1
    net.params["fc1"][1].data[...] = 20  # so that ReLU lets some of it through
    net.forward()
    net.backward(y=np.ones((2, 4)))
    assert bool(net.params["fc1"][0].diff.any()) == forced
    assert net.params["fc2"][0].diff.any()


def test_propagate_down_false_stops_the_gradient(tmp_path):
    net = net_from_text(
        tmp_path, MLP.replace('bottom: "h" top: "y"', 'bottom: "h" top: "y" propagate_down: false')
    )
    net.blobs["x"].data[...] = 1
    net.params["fc1"][1].data[...] = 20  # so that ReLU lets some of it through
    net.forward()
    net.backward(y=np.ones((2, 4)))
    assert not net.blobs["x"].diff.any()
    assert net.params["fc2"][0].diff.any()


def test_propagate_down_true_asks_for_a_gradient_that_nobody_needs(tmp_path):
    text = MLP.replace("force_backward: true", "")
    for asked in (True, False):
        down = f'bottom: "x" top: "h" propagate_down: {str(asked).lower()}'
        net = net_from_text(tmp_path, text.replace('bottom: "x" top: "h"', down))
        net.blobs["x"].data[...] = 1
        net.forward()
        net.backward(y=np.ones((2, 4)))
        before, _, _ = expected(net)
        w1, w2 = net.params["fc1"][0].data, net.params["fc2"][0].data
        by_hand = (np.ones((2, 4)) @ w2 * (before > 0)) @ w1
        assert net.blobs["x"].diff == pytest.approx(by_hand if asked else 0, rel=1e-5)


def test_propagate_down_is_given_for_every_bottom_or_none(tmp_path):
    twice = 'bottom: "x" top: "h" propagate_down: true propagate_down: true'
    with pytest.raises(caffe.CaffeError, match=r'"fc1".*one propagate_down per bottom, got 2'):
        net_from_text(tmp_path, MLP.replace('bottom: "x" top: "h"', twice))


LOSS = """
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 } } }
layer { name: "first" type: "EuclideanLoss" bottom: "y" bottom: "t" }
layer { name: "second" type: "EuclideanLoss" bottom: "y" bottom: "t" loss_weight: 3 }
"""


def test_losses_without_a_top_get_one(tmp_path):
    net = net_from_text(tmp_path, MLP + LOSS)
    net.blobs["x"].data[...] = 1
    loss = net.forward_backward()
    each = np.square(expected(net)[2]).sum() / 2 / 2
    assert loss == pytest.approx(4 * each, rel=1e-5)
    assert net.blobs["(automatic)"].data == pytest.approx(each, rel=1e-5)
    assert net.outputs == []


def test_callbacks_see_every_layer_in_order(net):
    seen = []
    net.before_forward(lambda i: seen.append(("before_forward", i)))
    net.after_forward(lambda i: seen.append(("after_forward", i)))
    net.before_backward(lambda i: seen.append(("before_backward", i)))
    net.after_backward(lambda i: seen.append(("after_backward", i)))
    net.forward()
    layers = range(4)
    assert seen == [(f"{w}_forward", i) for i in layers for w in ("before", "after")]
    seen.clear()
    net.backward(y=np.ones((2, 4)))
    assert seen == [(f"{w}_backward", i) for i in reversed(layers) for w in ("before", "after")]


def test_callbacks_around_backward_change_no_gradient(tmp_path, net):
    def gradients():
        net.clear_param_diffs()
        net.forward()
        net.backward(y=np.ones((2, 4)))
        blobs = [net.blobs["x"], *net.params["fc1"], *net.params["fc2"]]
        return [blob.diff.copy() for blob in blobs]

    at_once = gradients()
    net.after_backward(lambda i: None)
    for one, other in zip(gradients(), at_once, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_an_after_backward_callback_finds_the_layers_gradients_done(tmp_path, net):
    done = {}

    def remember(i):
        if net._layer_names[i] == "fc2":
            done["fc2"] = net.params["fc2"][1].diff.copy()
            done["fc1"] = net.params["fc1"][1].diff.copy()

    net.after_backward(remember)
    net.forward()
    net.backward(y=np.ones((2, 4)))
    assert done["fc2"].tolist() == [2] * 4
    assert not done["fc1"].any()


def test_a_net_may_not_ask_for_more_than_a_blob_can_hold(tmp_path):
    for dims in ("dim: 70000 dim: 70000", "dim: -2 dim: 3"):
        with pytest.raises(caffe.CaffeError, match=r'layer "in".*expected.*got.* shape \(-?\d+'):
            net_from_text(tmp_path, MLP.replace("dim: 2 dim: 3", dims))
    with pytest.raises(caffe.CaffeError, match=r'layer "fc1".*at most 2147483647 numbers'):
        net_from_text(tmp_path, MLP.replace("num_output: 5", "num_output: 2000000000"))


def test_layer_phase_overrides_the_nets(tmp_path):
    net = net_from_text(tmp_path, MLP.replace('type: "ReLU"', 'type: "ReLU" phase: TEST'))
    assert net.layer_dict["act"].phase == caffe.TEST
    assert net.layer_dict["fc1"].phase == caffe.TRAIN


def test_blobs_inside_the_net_are_what_it_starts_with(tmp_path, net):
    message = caffe_pb2.NetParameter()
    text_format.Parse(MLP, message)
    given = message.layer[1].blobs
    given.add(data=range(15)).shape.dim.extend([5, 3])
    given.add(data=[7] * 5, num=1, channels=1, height=1, width=5)
    started = caffe.Net(message, caffe.TRAIN)
    np.testing.assert_array_equal(started.params["fc1"][0].data, np.arange(15).reshape(5, 3))
    assert started.params["fc1"][1].data.tolist() == [7] * 5
    given[0].shape.dim[0] = 3
    with pytest.raises(caffe.CaffeError, match=r'layer "fc1": its blobs.*\(3, 3\) holds 15'):
        caffe.Net(message, caffe.TRAIN)
    given[0].shape.dim[:] = [3, 5]
    with pytest.raises(caffe.CaffeError, match=r'layer "fc1".*expects shape \(5, 3\).*\(3, 5\)'):
        caffe.Net(message, caffe.TRAIN)


MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 3 height: 1 width: 5 } }
"""


def test_set_input_arrays(tmp_path, net):
    data = np.random.default_rng(0).random((4, 3, 1, 5), np.float32)
    fed = net_from_text(tmp_path, MEMORY)
    fed.set_input_arrays(data, np.arange(4, dtype=np.float32))
    for start in (0, 2, 0):
        out = fed.forward()
        np.testing.assert_array_equal(out["data"], data[start : start + 2])
        assert out["label"].ravel().tolist() == [start, start + 1]
    with pytest.raises(caffe.CaffeError, match=r'first layer of type MemoryData, got "Input"'):
        net.set_input_arrays(data, np.arange(4, dtype=np.float32))


def test_share_with(tmp_path, net):
    other = net_from_text(tmp_path, MLP)
    other.share_with(net)
    net.params["fc1"][0].data[0, 0] = 42
    assert other.params["fc1"][0].data[0, 0] == 42


def test_call_forms(tmp_path, net):
    path, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    net.save(weights)
    for again in (
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=weights),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
    ):
        np.testing.assert_array_equal(again.params["fc1"][0].data, net.params["fc1"][0].data)
    with pytest.raises(caffe.CaffeError, match=r"phase must be caffe\.TRAIN or caffe\.TEST"):
        caffe.Net(path)


def test_unknown_type_suggests_the_nearest(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'layer "act": unknown layer type "Relu".*ReLU'):
        net_from_text(tmp_path, MLP.replace('"ReLU"', '"Relu"'))


def test_too_many_bottoms_are_counted(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'"act" \(ReLU\): expected 1 bottom.*got 2'):
        net_from_text(
            tmp_path, MLP.replace('type: "ReLU" bottom: "h"', 'type: "ReLU" bottom: "h" bottom:"x"')
        )


@pytest.mark.parametrize("most", [24, 25])
def test_a_training_pass_keeps_the_diffs_that_somebody_looks_at(tmp_path, monkeypatch, most):
    """Those of a small net at once, those of a large one from the pass after the first look on."""
    text = (
        MLP
        + """layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 3
      reduction_param { operation: SUMSQ } }"""
    )
    by_hand, net = net_from_text(tmp_path, text), net_from_text(tmp_path, text)
    net.share_with(by_hand)
    x = np.random.default_rng(4).standard_normal((2, 3))
    by_hand.forward(x=x)
    by_hand.backward()
    monkeypatch.setattr(net_module, "_SMALL", most)
    net.blobs["x"].data[...] = x
    net.forward_backward()
    assert net.blobs["loss"].diff == 3
    if most < 6 + 10 + 8 + 1:
        with pytest.warns(UserWarning, match="left out the blobs' diffs: this one is zeros"):
            assert not net.blobs["h"].diff.any()
        net.forward_backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in "xhy":
            assert net.blobs[name].diff.any()
            np.testing.assert_array_equal(net.blobs[name].diff, by_hand.blobs[name].diff)


def test_forward_backward_gives_the_same_parameter_gradients(tmp_path):
    text = MLP.replace('top: "y"', 'top: "y" loss_weight: 2')
    one, two = (net_from_text(tmp_path, text) for _ in range(2))
    two.share_with(one)
    for net in (one, two):
        net.blobs["x"].data[...] = np.random.default_rng(5).standard_normal((2, 3))
    loss = one.forward_backward()
    gradients = [blob.diff.copy() for blob, _ in one.learnable()]
    one.clear_param_diffs()
    two.forward()
    two.backward()
    assert loss == pytest.approx(2 * two.blobs["y"].data.sum(), rel=1e-5)
    for got, (blob, _) in zip(gradients, two.learnable(), strict=True):
        assert relative_error(got, blob.diff) < 1e-6


def test_force_backward_leaves_a_parameter_layers_gradient_alone(tmp_path):
    net = net_from_text(
        tmp_path,
        'force_backward: true layer{name:"w" type:"Parameter" top:"w" '
        "parameter_param{shape{dim:2 dim:3}}}"
        'layer{name:"y" type:"Power" bottom:"w" top:"y" power_param{scale:5}}',
    )
    net.forward()
    net.backward(y=np.ones((2, 3)))
    np.testing.assert_array_equal(net.params["w"][0].diff, np.full((2, 3), 5))


@pytest.mark.parametrize("seen", [False, True])
def test_a_shared_parameter_gets_each_layers_part_once_in_layerwise_passes(tmp_path, seen):
    """Also if somebody looks at it between the passes, which can replace the engine's tensor."""
    conv = (
        'layer{name:"%s" type:"Convolution" bottom:"%s" top:"%s" param{name:"w"}'
        "convolution_param{num_output:3 kernel_size:3 pad:1 bias_term:false "
        'weight_filler{type:"xavier"}}}'
    )
    net = net_from_text(
        tmp_path,
        'layer{name:"x" type:"Input" top:"x" input_param{shape{dim:2 dim:3 dim:5 dim:4}}}'
        + conv % ("a", "x", "a")
        + conv % ("b", "a", "b"),
    )
    rng = np.random.default_rng(2)
    x, top_diff = (rng.standard_normal((2, 3, 5, 4)) for _ in range(2))
    net.forward(x=x)
    net.backward(b=top_diff)
    whole = net.params["a"][0].diff.copy()
    net.clear_param_diffs()
    net.forward(x=x)
    if seen:
        assert net.params["a"][0].data.any()
    net.backward(start="b", end="b", b=top_diff)
    net.backward(start="a")
    assert relative_error(net.params["a"][0].diff, whole) <= 1e-5


def test_a_pass_frees_what_the_last_one_kept_for_its_gradients(net):
    alive = set()

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor.detach()
            weakref.finalize(self, alive.discard, id(self))
            alive.add(id(self))

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        net.forward()
        count = len(alive)
        most = []
        net.before_forward(lambda index: most.append(len(alive)))
        net.forward()
    assert count > 0
    assert most[0] == 0
    assert len(alive) == count


def test_set_mode_gpu_without_a_gpu_says_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    caffe.set_mode_cpu()
    with pytest.raises(caffe.CaffeError, match="PyTorch sees no CUDA GPU"):
        set_mode_gpu()
    assert caffe.check_mode_cpu()
    assert not caffe.check_mode_gpu()


def test_a_shape_that_a_layer_cannot_take_names_the_layer(tmp_path):
    """At construction, in reshape and in forward, whatever PyTorch says about it."""
    conv = (
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:3 dim:%d dim:5}}}'
        'layer{name:"c" type:"Convolution" bottom:"x" top:"y" '
        "convolution_param{num_output:4 kernel_size:4}}"
    )
    words = r'^layer "c" \(Convolution\): [^\n]+ \(bottoms of shape \(2, 3, 3, 5\)\)$'
    with pytest.raises(caffe.CaffeError, match=words):
        net_from_text(tmp_path, conv % 3)
    net = net_from_text(tmp_path, conv % 7)
    net.blobs["x"].reshape(2, 3, 3, 5)
    for call in (net.reshape, net.forward):
        with pytest.raises(caffe.CaffeError, match=words):
            call()


def test_running_out_of_gpu_memory_stays_what_it_is(net, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(net._layers[net._layer_names.index("act")], "forward", full)
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"^CUDA out of memory$"):
        net.forward()


def test_a_partial_backward_without_anything_to_differentiate(net):
    """A lone Input layer has no bottoms and no parameters, only a gradient for the user."""
    net.forward()
    net.backward(y=np.ones((2, 4)))
    before = net.blobs["x"].diff.copy()
    assert net.backward(start="in", end="in") == {}
    np.testing.assert_array_equal(net.blobs["x"].diff, before)


def test_a_silenced_blob_gets_a_gradient_of_zero(tmp_path):
    net = net_from_text(tmp_path, MLP + 'layer { name: "end" type: "Silence" bottom: "y" }')
    net.forward()
    net.blobs["y"].diff[...] = 5
    net.backward(start="end", end="end")
    assert not net.blobs["y"].diff.any()
