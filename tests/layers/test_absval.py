"""AbsVal: hand value, golden values, gradient."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"AbsVal" bottom:"x" top:"y" '


@pytest.mark.parametrize("case", ["mlic/absval"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 3)).run(
        torch.tensor([[-2.0, 0.0, 3.0]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[2.0, 0.0, 3.0]], rtol=1e-6)


def test_gradient_and_value_on_every_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5))
    layer = make_layer(TEXT, x.shape)
    check_gradient(layer, x)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_allclose(y, np.where(x > 0, x, -x), rtol=1e-6)
