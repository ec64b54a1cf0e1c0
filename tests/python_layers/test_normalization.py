"""The numpy twin of Normalization: the native layer's numbers, a hand value, an item of zeros."""

import numpy as np
import pytest

from tests.python_layers.twin_checks import compare_with_native, python_net

TWIN = ("normalization", "Normalization")


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 7, 5)])
def test_equals_the_native_layer(tmp_path, shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    x[1] = 0
    compare_with_native(tmp_path, {"x": x}, *TWIN)


def test_hand_value(tmp_path):
    net = python_net(tmp_path, {"x": np.array([[3.0, 4.0], [0.0, 0.0]])}, *TWIN)
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    net.blobs["y"].diff[...] = [[5, 0], [5, 0]]
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, [[0.64, -0.48], [0, 0]], rtol=1e-5)


def test_names_a_wrong_number_of_bottoms(tmp_path):
    bottoms = {"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}
    with pytest.raises(ValueError, match="Normalization: expected 1 bottom, 1 top, got 2, 1"):
        python_net(tmp_path, bottoms, *TWIN)
