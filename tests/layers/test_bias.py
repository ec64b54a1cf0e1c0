"""Bias: hand value, golden values, axes, gradients, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
ONE = 'name:"l" type:"Bias" bottom:"x" top:"y" bias_param{%s}'
TWO = 'name:"l" type:"Bias" bottom:"x" bottom:"b" top:"y" bias_param{%s}'


@pytest.mark.parametrize(
    "case", ["mlic/bias_param", "mlic/bias_two_bottoms", "pspnet/bias_two_bottoms"]
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TWO % "axis:0", (2, 3), (2,))
    x, b = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([10.0, -10.0])
    (y,) = layer.run(x, b, device=CPU)
    np.testing.assert_array_equal(y, [[11, 12, 13], [-6, -5, -4]])


@pytest.mark.parametrize(
    ("fields", "shape", "expand"),
    [
        ("", (3,), (1, 3, 1, 1)),
        ("axis:-3 num_axes:2", (3, 4), (1, 3, 4, 1)),
        ("axis:2 num_axes:-1", (4, 5), (1, 1, 4, 5)),
        ("num_axes:0", (), (1, 1, 1, 1)),
    ],
)
def test_axes(fields, shape, expand):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    layer = make_layer(ONE % (fields + ' filler{type:"gaussian"}'), x.shape)
    assert layer.blobs[0].shape == shape
    (y,) = layer.run(torch.tensor(x), device=CPU)
    bias = layer.blobs[0].tensor().detach().numpy()
    np.testing.assert_allclose(y.detach(), x + bias.reshape(expand))
    check_gradient(layer, x)


def test_gradient_of_two_bottoms():
    rng = np.random.default_rng(1)
    x, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4))
    check_gradient(make_layer(TWO % "", x.shape, b.shape), x, b)


def test_second_bottom_that_does_not_fit():
    with pytest.raises(caffe.CaffeError, match=r"second bottom \(3, 4\).* got \(4, 3\)"):
        make_layer(TWO % "", (2, 3, 4), (4, 3))
