"""ReLU: hand values, golden values, gradient, in place."""

import numpy as np
import pytest
import torch

import caffe
from caffe.device import current_device
from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"ReLU" bottom:"x" top:"y" relu_param{negative_slope:%g}'


@pytest.mark.parametrize("case", ["mlic/relu", "mlic/relu_leaky", "pspnet/relu_leaky"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(("slope", "want"), [(0, [0, 0, 3]), (0.5, [-1, 0, 3]), (-2, [4, 0, 3])])
def test_hand_values(slope, want):
    x = torch.tensor([-2.0, 0.0, 3.0])
    (y,) = make_layer(TEXT % slope, (3,)).run(x, device=CPU)
    np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize("slope", [0, 0.5, -2])
def test_gradient(slope):
    x = np.random.default_rng(1).standard_normal((2, 3, 5))
    x += np.sign(x) * 0.1
    check_gradient(make_layer(TEXT % slope, x.shape), x)


def test_in_place(tmp_path):
    text = (
        'force_backward:true layer{name:"in" type:"Input" top:"x"'
        " input_param{shape{dim:2 dim:3}}}"
        'layer{name:"p" type:"Power" bottom:"x" top:"h" power_param{power:2 shift:1}}'
        'layer{name:"l" type:"ReLU" bottom:"h" top:"h"}'
    )
    net = net_from_text(tmp_path, text)
    net.blobs["x"].data[...] = 2
    net.forward()
    np.testing.assert_array_equal(net.blobs["h"].data, 9)
    net.backward(h=np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net.blobs["x"].diff, 6)


SHARED = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "%s" type: "%s" bottom: "fc" top: "h" %s }
layer { name: "l" type: "ReLU" bottom: "h" top: "h" }
layer { name: "other" type: "Power" bottom: "fc" top: "other" }
"""


@pytest.mark.parametrize(
    ("kind", "more"), [("Split", ""), ("Dropout", ""), ("Reshape", "reshape_param{shape{dim:10}}")]
)
@pytest.mark.parametrize("gradients", [True, False])
def test_in_place_leaves_other_readers_of_the_numbers_alone(tmp_path, kind, more, gradients):
    net = net_from_text(tmp_path, SHARED % (kind, kind, more), caffe.TEST)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((2, 3))
    with torch.set_grad_enabled(gradients):
        net.forward()
    fc = net.blobs["x"].data @ net.params["fc"][0].data.T
    assert (fc < 0).any()
    np.testing.assert_allclose(net.blobs["other"].data, fc, rtol=1e-5)
    np.testing.assert_allclose(net.blobs["h"].data.ravel(), np.maximum(fc, 0).ravel(), rtol=1e-5)


def test_without_gradients_it_takes_no_memory_of_its_own(tmp_path):
    direct = (
        SHARED.split('layer { name: "%s"')[0] + 'layer{name:"l" type:"ReLU" bottom:"fc" top:"fc"}'
    )
    net = net_from_text(tmp_path, direct)
    with torch.no_grad():
        net._forward(0, 1)
        before = net.blobs["fc"].tensor(current_device()).data_ptr()
        net._forward(2, 2)
    assert net.blobs["fc"].tensor(current_device()).data_ptr() == before


BEHIND = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "h" type: "%s" bottom: "c" %s top: "h" }
layer { name: "l" type: "ReLU" bottom: "h" top: "%s" }
"""


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize(("kind", "more"), [("BN", ""), ("Eltwise", 'bottom: "x"')])
def test_with_gradients_it_overwrites_what_they_do_not_need(tmp_path, phase, kind, more):
    x, top_diff = np.random.default_rng(4).standard_normal((2, 2, 3, 5, 4))
    diffs = []
    for top in ("h", "y"):
        caffe.set_random_seed(6)
        net = net_from_text(tmp_path, BEHIND % (kind, more, top), phase)
        net.blobs["x"].data[...] = x
        net._forward(0, len(net.layers) - 2)
        before = net.blobs["h"].tensor(current_device())
        below = before.min()
        net._forward(len(net.layers) - 1, len(net.layers) - 1)
        after = net.blobs[top].tensor(current_device())
        assert (after.data_ptr() == before.data_ptr()) == (top == "h")
        assert below < after.min() == 0
        net.backward(**{top: top_diff})
        diffs.append([net.blobs["x"].diff, net.params["c"][0].diff])
    for in_place, apart in zip(*diffs, strict=True):
        assert in_place.any()
        np.testing.assert_array_equal(in_place, apart)
