"""MVN: hand value, golden values, both regions, constant maps, gradients."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"MVN" bottom:"x" top:"y" mvn_param{%s}'


@pytest.mark.parametrize("case", ["mlic/mvn", "mlic/mvn_across_mean"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value_adds_eps_to_the_deviation():
    layer = make_layer(TEXT % "eps:1", (1, 1, 2, 2))
    (y,) = layer.run(torch.tensor([[[[1.0, 7.0], [7.0, 1.0]]]]), device=CPU)
    np.testing.assert_allclose(y, [[[[-0.75, 0.75], [0.75, -0.75]]]])


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("variance", [False, True])
def test_equals_the_definition(across, variance):
    fields = f"across_channels:{across} normalize_variance:{variance} eps:0.01".lower()
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5)) + 4
    layer = make_layer(TEXT % fields, x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    axes = (1, 2, 3) if across else (2, 3)
    want = x - x.mean(axes, keepdims=True)
    if variance:
        want = want / (x.std(axes, keepdims=True) + 0.01)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-9)
    check_gradient(layer, x)


@pytest.mark.parametrize("fields", ["", "across_channels:true"])
def test_without_rows(fields):
    layer = make_layer(TEXT % fields, (2, 3, 7, 5))
    assert layer.top_shapes((0, 3, 7, 5)) == [(0, 3, 7, 5)]


def test_constant_map():
    x = torch.full((1, 1, 2, 3), 5.0, requires_grad=True)
    (y,) = make_layer(TEXT % "", x.shape).run(x, device=CPU)
    assert not y.any()
    (grad,) = torch.autograd.grad(y[0, 0, 0, 0], x)
    assert torch.isfinite(grad).all()
