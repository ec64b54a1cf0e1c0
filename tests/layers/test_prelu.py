"""PReLU: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"PReLU" bottom:"x" top:"y" prelu_param{%s}'


@pytest.mark.parametrize("case", ["pspnet/prelu", "pspnet/prelu_shared"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value_with_a_slope_per_channel():
    layer = make_layer(TEXT % "", (1, 2, 3))
    np.testing.assert_array_equal(layer.blobs[0].data, [0.25, 0.25])
    layer.blobs[0].store(torch.tensor([0.5, 2.0]))
    x = torch.tensor([[[-1.0, 0, 3], [-2, 5, -3]]])
    (y,) = layer.run(x, device=torch.device("cpu"))
    np.testing.assert_array_equal(y.detach(), [[[-0.5, 0, 3], [-4, 5, -6]]])


@pytest.mark.parametrize("param", ["", "channel_shared:true filler{value:-0.3}"])
def test_gradient(param):
    layer = make_layer(TEXT % param, (2, 3, 5, 4))
    check_gradient(layer, np.random.default_rng(0).standard_normal((2, 3, 5, 4)))


def test_gradient_at_zero_is_the_slope():
    layer = make_layer(TEXT % "", (1, 2))
    x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    (y,) = layer.run(x, device=torch.device("cpu"))
    np.testing.assert_array_equal(torch.autograd.grad(y.sum(), x)[0], [[0.25, 0.25]])


def test_names_a_bottom_without_channels():
    with pytest.raises(caffe.CaffeError, match=r'layer "l" \(PReLU\).*\(N, C, ...\), got \(3,\)'):
        make_layer(TEXT % "", (3,))
