"""The numpy twin of Parameter: its blob, its gradient, which adds up, and errors."""

import json

import numpy as np
import pytest

from tests.layer_checks import net_from_text

TEXT = """
layer {{ name: "w" type: "Python" top: "w" param {{ lr_mult: 1 }}
  python_param {{ module: "python_layers.parameter" layer: "Parameter" param_str: {} }} }}
layer {{ name: "half" type: "Power" bottom: "w" top: "y" power_param {{ scale: 0.5 }}
  loss_weight: 1 }}
"""


def net_of(tmp_path, options):
    return net_from_text(tmp_path, TEXT.format(json.dumps(json.dumps(options))))


def test_top_and_gradient(tmp_path):
    net = net_of(tmp_path, {"shape": [2, 3]})
    net.params["w"][0].data[...] = np.arange(6).reshape(2, 3)
    net.forward()
    np.testing.assert_array_equal(net.blobs["w"].data, [[0, 1, 2], [3, 4, 5]])
    for passes in (1, 2):
        net.blobs["y"].diff[...] = [[2, 4, 6], [8, 10, 12]]
        net.backward()
        want = passes * np.array([[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(net.params["w"][0].diff, want)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Parameter: param_str: shape: expected a value, got none"),
        ({"shape": 3}, "Parameter: param_str: shape: expected a list of sizes, got 3"),
    ],
)
def test_names_a_wrong_shape(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        net_of(tmp_path, options)
