"""The numpy twin of Interp: golden values, the native layer's numbers, errors."""

import numpy as np
import pytest

from python_layers.interp import weights
from tests.python_layers.twin_checks import (
    compare_with_native,
    python_net,
    replay_golden_on_twin,
)


@pytest.mark.parametrize(
    "case",
    [
        "mlic/interp_up",
        "pspnet/interp_down",
        "pspnet/interp_shrink_pad",
        "pspnet/interp_up",
        "pspnet/interp_zoom",
    ],
)
def test_golden(tmp_path, case):
    replay_golden_on_twin(tmp_path, case)


@pytest.mark.parametrize(
    "options",
    [
        {"height": 4, "width": 11},
        {"height": 1, "width": 2},
        {"shrink_factor": 3},
        {"zoom_factor": 2},
        {"shrink_factor": 3, "zoom_factor": 2},
        {"shrink_factor": 3, "zoom_factor": 2, "height": 4, "width": 7},
        {"zoom_factor": 2, "height": 4, "width": 7},
        {"zoom_factor": 2, "height": 4},
        {"height": 4, "width": 7, "pad_beg": -2, "pad_end": -1},
        {"shrink_factor": 2, "pad_beg": -1},
    ],
)
def test_equals_the_native_layer(tmp_path, options):
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 6)).astype(np.float32)
    param = " ".join(f"{key}:{value}" for key, value in options.items())
    param = f"interp_param{{{param}}}"
    compare_with_native(tmp_path, {"x": x}, "interp", "Interp", options, param)


def test_hand_value():
    np.testing.assert_allclose(weights(3, 5) @ [2, 4, 10], [2, 3, 4, 7, 10], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"height": 4}, "give height and width, or shrink_factor, or zoom_factor"),
        ({"zoom_factor": 2, "pad_beg": 1}, "pad_beg and pad_end <= 0"),
        ({"zoom_factor": 2, "pad_beg": -6}, r"something is left to resize, got \(2, 3, 9, 6\)"),
        ({"scale": 2}, "Interp: param_str: scale: expected one of the keys"),
    ],
)
def test_names_options_that_do_not_fit(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        python_net(tmp_path, {"x": np.zeros((2, 3, 9, 6))}, "interp", "Interp", options)
