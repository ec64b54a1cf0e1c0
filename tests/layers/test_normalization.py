"""Normalization: hand value, numpy, items of zeros, gradient."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Normalization" bottom:"x" top:"y"'


def test_hand_value():
    x = torch.tensor([[[3.0], [4.0]], [[0.0], [-2.0]]])
    (y,) = make_layer(TEXT, x.shape).run(x, device=CPU)
    np.testing.assert_allclose(y, [[[0.6], [0.8]], [[0], [-1]]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (4, 3), (3,)])
def test_every_item_gets_length_one(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    layer = make_layer(TEXT, shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    want = np.array([item / np.sqrt(np.sum(item**2)) for item in x])
    np.testing.assert_allclose(y, want, rtol=1e-12)
    assert layer.top_shapes(shape) == [shape]
    check_gradient(layer, x)


def test_an_item_of_zeros_stays_zero_without_a_gradient():
    x = torch.tensor([[0.0, 0, 0], [0, 3, 4]], requires_grad=True)
    (y,) = make_layer(TEXT, x.shape).run(x, device=CPU)
    np.testing.assert_allclose(y.detach(), [[0, 0, 0], [0, 0.6, 0.8]], rtol=1e-6)
    (grad,) = torch.autograd.grad(y[:, 0].sum(), x)
    np.testing.assert_allclose(grad, [[0, 0, 0], [0.2, 0, 0]], rtol=1e-6)
