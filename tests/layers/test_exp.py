"""Exp: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

BARE = 'name:"l" type:"Exp" bottom:"x" top:"y" '
TEXT = BARE + "exp_param{base:3 scale:0.5 shift:1}"


@pytest.mark.parametrize("case", ["pspnet/exp_base2"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 3)).run(
        torch.tensor([[0.0, 2.0, -2.0]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[3.0, 9.0, 1.0]], rtol=1e-6)


def test_gradient_and_value_on_every_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    layer = make_layer(TEXT, x.shape)
    check_gradient(layer, x)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, np.exp(np.log(3) * (0.5 * x + 1)), rtol=1e-6)


@pytest.mark.parametrize("param", ["exp_param{base:0}", "exp_param{base:-2}"])
def test_refuses_parameters_without_a_meaning(param):
    with pytest.raises(
        caffe.CaffeError, match=r'layer "l" \(Exp\): expected a positive base, or -1 for e'
    ):
        make_layer(BARE + param, (2, 3))


def test_base_e_is_the_default():
    layer = make_layer(BARE + "exp_param{scale:2}", (3,))
    (y,) = layer.run(torch.tensor([0.0, 0.5, -1.0]), device=torch.device("cpu"))
    np.testing.assert_allclose(y, [1, np.e, np.exp(-2)], rtol=1e-6)
