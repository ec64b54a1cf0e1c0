"""The numpy twin of PredictionL2Loss: the native layer's numbers, and its own errors."""

import numpy as np
import pytest

from tests.python_layers.twin_checks import compare_with_native, python_net

NAMES = ("prediction_l2_loss", "PredictionL2Loss")


@pytest.mark.parametrize("weight", [1, 0.25])
def test_equals_the_native_layer(tmp_path, weight):
    rng = np.random.default_rng(0)
    bottoms = {"t": rng.random((5, 7)), "s": rng.random((5, 7))}
    compare_with_native(tmp_path, bottoms, *NAMES, extra=f"loss_weight:{weight}")


def test_names_shapes_that_differ(tmp_path):
    bottoms = {"t": np.zeros((2, 3)), "s": np.zeros((2, 4))}
    with pytest.raises(ValueError, match=r"same shape .*\(2, 3\) and \(2, 4\)"):
        python_net(tmp_path, bottoms, *NAMES)
