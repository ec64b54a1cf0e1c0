"""Sigmoid: hand value, golden values, gradient."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"Sigmoid" bottom:"x" top:"y"'


@pytest.mark.parametrize("case", ["mlic/sigmoid", "pspnet/sigmoid"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_values_and_extremes():
    x = np.array([[0, np.log(3), -np.log(3)], [1000, -1000, 2]])
    (y,) = make_layer(TEXT, x.shape).run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, [[0.5, 0.75, 0.25], [1, 0, 1 / (1 + np.exp(-2))]], rtol=1e-12)


def test_gradient():
    x = np.random.default_rng(1).standard_normal((2, 3, 5))
    check_gradient(make_layer(TEXT, x.shape), x)
