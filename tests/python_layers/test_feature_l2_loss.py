"""The numpy twin of FeatureL2Loss: the native layer's numbers, and its own errors."""

import numpy as np
import pytest

from tests.ops.samples import random_rois
from tests.python_layers.twin_checks import compare_with_native, python_net

NAMES = ("feature_l2_loss", "FeatureL2Loss")


def sample(boxes, shape):
    rng = np.random.default_rng(0)
    pair = {name: rng.standard_normal((boxes, *shape)) for name in ("t", "s")}
    return pair | {"rois": random_rois(rng, 3, boxes, 30, 20)}


@pytest.mark.parametrize("weight", [1, 0.25])
@pytest.mark.parametrize("boxes", [1, 7])
def test_equals_the_native_layer(tmp_path, boxes, weight):
    bottoms = sample(boxes, (3, 2))
    compare_with_native(tmp_path, bottoms, *NAMES, extra=f"loss_weight:{weight}")


def test_names_what_does_not_fit(tmp_path):
    bottoms = sample(4, (3,))
    bottoms["rois"][2, 0] = 0.5
    with pytest.raises(ValueError, match="rois row 2: "):
        python_net(tmp_path, bottoms, *NAMES).forward()
    with pytest.raises(ValueError, match=r"same shape .*\(4, 3\) and \(4, 5\)"):
        python_net(tmp_path, bottoms | {"s": np.zeros((4, 5))}, *NAMES)
    with pytest.raises(ValueError, match=r"one row of rois per row of features, got 5"):
        python_net(tmp_path, bottoms | {"rois": np.zeros((5, 6))}, *NAMES)
