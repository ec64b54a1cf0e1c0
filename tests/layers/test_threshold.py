"""Threshold: hand value, golden values."""

import numpy as np
import pytest
import torch

from tests.layer_checks import make_layer, replay_golden

TEXT = 'name:"l" type:"Threshold" bottom:"x" top:"y" threshold_param{threshold:0.5}'


@pytest.mark.parametrize("case", ["pspnet/threshold"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    (y,) = make_layer(TEXT, (1, 3)).run(
        torch.tensor([[0.25, 0.5, 0.75]]), device=torch.device("cpu")
    )
    np.testing.assert_allclose(y, [[0.0, 0.0, 1.0]], rtol=1e-6)
