"""PredictionL2Loss: hand value in a net, gradient, errors."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text

LAYER = 'name:"l" type:"PredictionL2Loss" bottom:"t" bottom:"s" top:"loss"'
NET = (
    'force_backward:true layer{name:"in" type:"Input" top:"t" top:"s" '
    "input_param{shape{dim:2 dim:3} shape{dim:2 dim:%d}}}layer{" + LAYER + "}"
)


def test_hand_value_and_gradient(tmp_path):
    net = net_from_text(tmp_path, NET % 3)
    net.blobs["t"].data[...] = [[1, 0, 0.5], [0.5, 0.25, 1]]
    net.blobs["s"].data[...] = [[0, 0.5, 0.5], [0.5, 0, 1]]
    assert net.forward()["loss"] == pytest.approx((1.25 + 0.0625) / 4)
    assert net.blob_loss_weights["loss"] == 1
    net.backward()
    np.testing.assert_allclose(net.blobs["s"].diff, [[-0.5, 0.25, 0], [0, -0.125, 0]])
    np.testing.assert_allclose(net.blobs["t"].diff, [[0.5, -0.25, 0], [0, 0.125, 0]])


def test_gradient():
    rng = np.random.default_rng(0)
    shape = (5, 7)
    layer = make_layer(LAYER, shape, shape)
    check_gradient(layer, rng.random(shape), rng.random(shape))


def test_names_shapes_that_differ(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'"l" \(PredictionL2Loss\).*\(2, 3\) and \(2, 4\)'):
        net_from_text(tmp_path, NET % 4)
