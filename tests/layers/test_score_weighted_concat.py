"""ScoreWeightedConcat: hand value, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text
from tests.ops.samples import random_rois

LAYER = 'name:"l" type:"ScoreWeightedConcat" bottom:"a" bottom:"b" bottom:"rois" top:"y"'
INPUTS = (
    'layer{name:"in" type:"Input" top:"a" top:"b" top:"rois" input_param{'
    "shape{dim:4 dim:3 dim:2} shape{dim:%d dim:7} shape{dim:4 dim:%d}}}"
)


def test_hand_value():
    layer = make_layer(LAYER, (2, 1, 2), (2, 1), (2, 6))
    rois = torch.tensor([[0.0, 0, 0, 1, 1, 0.5], [1, 0, 0, 1, 1, 2]])
    features = torch.tensor([[[1.0, 2]], [[3, 4]]]), torch.tensor([[10.0], [20]])
    (y,) = layer.run(*features, rois, device=torch.device("cpu"))
    assert y.tolist() == [[0.5, 1, 5], [6, 8, 40]]


def test_gradient():
    rng = np.random.default_rng(0)
    bottoms = [rng.standard_normal(shape) for shape in ((5, 3, 2), (5, 7))]
    rois = random_rois(rng, 2, 5, 30, 20)
    layer = make_layer(LAYER, (5, 3, 2), (5, 7), (5, 6))
    check_gradient(layer, *bottoms, rois, wrt=(0, 1))


def test_names_what_does_not_fit(tmp_path):
    text = INPUTS + "layer{" + LAYER + "}"
    net = net_from_text(tmp_path, text % (4, 6))
    assert net.blobs["y"].shape == (4, 13)
    net.blobs["rois"].data[2, 5] = np.inf
    with pytest.raises(caffe.CaffeError, match=r'"l" \(ScoreWeightedConcat\): rois row 2: '):
        net.forward()
    with pytest.raises(caffe.CaffeError, match=r'"l" \(Score.*features 2: .*\(4, \.\.\.\)'):
        net_from_text(tmp_path, text % (3, 6))
    with pytest.raises(caffe.CaffeError, match=r'"l" \(Score.*\(R, 6\).*got \(4, 5\)'):
        net_from_text(tmp_path, text % (4, 5))
