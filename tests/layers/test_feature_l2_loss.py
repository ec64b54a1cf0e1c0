"""FeatureL2Loss: hand value in a net, gradient, errors."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text
from tests.ops.samples import random_rois

LAYER = 'name:"l" type:"FeatureL2Loss" bottom:"t" bottom:"s" bottom:"rois" top:"loss"'
NET = (
    'force_backward:true layer{name:"in" type:"Input" top:"t" top:"s" top:"rois" input_param{'
    "shape{dim:3 dim:2} shape{dim:3 dim:2} shape{dim:%d dim:6}}}layer{" + LAYER + " %s}"
)


def test_hand_value_and_gradient_with_a_loss_weight(tmp_path):
    net = net_from_text(tmp_path, NET % (3, "loss_weight:4"))
    net.blobs["t"].data[...] = [[1, 0], [3, 4], [2, 2]]
    net.blobs["rois"].data[:, 0] = [1, 4, 1]
    # image 4 has one box with |d|^2 = 25, image 1 two boxes with 1 and 8: (25 + (1 + 8) / 2) / 4
    assert net.forward()["loss"] == pytest.approx(7.375)
    net.backward()
    # 4 d / (N |R'_n|): twice the box of image 4, once those of image 1
    want = [[1, 0], [6, 8], [2, 2]]
    np.testing.assert_allclose(net.blobs["t"].diff, want)
    np.testing.assert_allclose(net.blobs["s"].diff, np.negative(want))
    assert not net.blobs["rois"].diff.any()


def test_is_a_loss_by_default(tmp_path):
    assert net_from_text(tmp_path, NET % (3, "")).blob_loss_weights["loss"] == 1


def test_gradient():
    rng = np.random.default_rng(0)
    shape = (7, 3, 2)
    layer = make_layer(LAYER, shape, shape, (7, 6))
    pair = rng.standard_normal(shape), rng.standard_normal(shape)
    check_gradient(layer, *pair, random_rois(rng, 3, 7, 30, 20), wrt=(0, 1))


def test_names_what_does_not_fit(tmp_path):
    net = net_from_text(tmp_path, NET % (3, ""))
    net.blobs["rois"].data[2, 0] = -1
    with pytest.raises(caffe.CaffeError, match=r'"l" \(FeatureL2Loss\): rois row 2: '):
        net.forward()
    with pytest.raises(caffe.CaffeError, match=r'"l" \(FeatureL2Loss\): .*one row of rois'):
        net_from_text(tmp_path, NET % (4, ""))
