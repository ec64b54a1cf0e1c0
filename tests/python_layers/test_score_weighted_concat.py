"""The numpy twin of ScoreWeightedConcat: the native layer's numbers, and its own errors."""

import numpy as np
import pytest

from tests.ops.samples import random_rois
from tests.python_layers.twin_checks import compare_with_native, python_net

NAMES = ("score_weighted_concat", "ScoreWeightedConcat")


def sample(boxes, shapes):
    rng = np.random.default_rng(0)
    features = {f"f{i}": rng.standard_normal((boxes, *shape)) for i, shape in enumerate(shapes)}
    return features | {"rois": random_rois(rng, 2, boxes, 30, 20)}


@pytest.mark.parametrize("shapes", [[(3, 2, 7)], [(5,), (3, 2)], [(2, 3), (7,), (4, 1, 5)]])
def test_equals_the_native_layer(tmp_path, shapes):
    compare_with_native(tmp_path, sample(6, shapes), *NAMES)


def test_names_what_does_not_fit(tmp_path):
    bottoms = sample(4, [(3,)])
    bottoms["rois"][2, 5] = np.inf
    with pytest.raises(ValueError, match=r"rois row 2: .*finite"):
        python_net(tmp_path, bottoms, *NAMES).forward()
    with pytest.raises(ValueError, match=r"features 1: expected \(4, \.\.\.\), got \(3, 3\)"):
        python_net(tmp_path, bottoms | {"f0": np.zeros((3, 3))}, *NAMES)
    with pytest.raises(ValueError, match=r"\(R, 6\).*got \(4, 5\)"):
        python_net(tmp_path, bottoms | {"rois": np.zeros((4, 5))}, *NAMES).forward()
