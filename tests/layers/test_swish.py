"""Swish: hand value, gradient."""

import numpy as np
import torch

from tests.layer_checks import check_gradient, make_layer

TEXT = 'name:"l" type:"Swish" bottom:"x" top:"y" swish_param{beta:2}'


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 2)).run(
        torch.tensor([[0.0, 0.6931471805599453]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[0.0, 0.5545177444479562]], rtol=1e-6)


def test_gradient_and_value_on_every_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    layer = make_layer(TEXT, x.shape)
    check_gradient(layer, x)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, x / (1 + np.exp(-2 * x)), rtol=1e-6)
