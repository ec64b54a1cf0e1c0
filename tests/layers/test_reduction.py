"""Reduction: hand values, golden values, axes, gradients."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Reduction" bottom:"x" top:"y" reduction_param{operation:%s axis:%d coeff:%g}'


@pytest.mark.parametrize(
    "case",
    [
        "mlic/reduction_asum",
        "mlic/reduction_mean",
        "mlic/reduction_sum",
        "pspnet/reduction_asum",
        "pspnet/reduction_mean",
        "pspnet/reduction_sum",
        "pspnet/reduction_sumsq",
    ],
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("operation", "want"), [("SUM", 4), ("ASUM", 12), ("SUMSQ", 56), ("MEAN", 4 / 3)]
)
def test_hand_values(operation, want):
    x = torch.tensor([[2.0, -4.0, 6.0]])
    (y,) = make_layer(TEXT % (operation, 1, 1), x.shape).run(x, device=CPU)
    np.testing.assert_allclose(y, [want], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
def test_axes_and_gradient(operation, axis):
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    layer = make_layer(TEXT % (operation, axis, -0.5), x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    axes = tuple(range(axis % 4, 4))
    terms = {"ASUM": abs(x), "SUMSQ": x**2}.get(operation, x)
    want = terms.mean(axes) if operation == "MEAN" else terms.sum(axes)
    np.testing.assert_allclose(y, -0.5 * want, rtol=1e-9)
    check_gradient(layer, x)
