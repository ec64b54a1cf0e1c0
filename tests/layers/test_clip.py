"""Clip: hand value, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer

BARE = 'name:"l" type:"Clip" bottom:"x" top:"y" '
TEXT = BARE + "clip_param{min:-0.5 max:1}"


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 3)).run(
        torch.tensor([[-2.0, 0.25, 3.0]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[-0.5, 0.25, 1.0]], rtol=1e-6)


def test_gradient_and_value_on_every_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    layer = make_layer(TEXT, x.shape)
    check_gradient(layer, x)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, np.minimum(np.maximum(x, -0.5), 1), rtol=1e-6)


@pytest.mark.parametrize("param", ["clip_param{min:1 max:0}"])
def test_refuses_parameters_without_a_meaning(param):
    with pytest.raises(
        caffe.CaffeError, match=r'layer "l" \(Clip\): expected min <= max, got 1.0 and 0.0'
    ):
        make_layer(BARE + param, (2, 3))
