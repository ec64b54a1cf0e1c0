"""Log: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

BARE = 'name:"l" type:"Log" bottom:"x" top:"y" '
TEXT = BARE + "log_param{base:2 scale:0.5 shift:4}"


@pytest.mark.parametrize("case", ["pspnet/log_base10"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 3)).run(
        torch.tensor([[0.0, 8.0, -6.0]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[2.0, 3.0, 0.0]], rtol=1e-6)


def test_gradient_and_value_on_every_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    layer = make_layer(TEXT, x.shape)
    check_gradient(layer, x)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, np.log(0.5 * x + 4) / np.log(2), rtol=1e-6)


@pytest.mark.parametrize("param", ["log_param{base:0}", "log_param{base:1}"])
def test_refuses_parameters_without_a_meaning(param):
    with pytest.raises(
        caffe.CaffeError, match=r'layer "l" \(Log\): expected a positive base other than 1'
    ):
        make_layer(BARE + param, (2, 3))


def test_base_e_is_the_default():
    layer = make_layer(BARE + "log_param{scale:2}", (2,))
    (y,) = layer.run(torch.tensor([0.5, 4.0]), device=torch.device("cpu"))
    np.testing.assert_allclose(y, [0, np.log(8)], rtol=1e-6)
