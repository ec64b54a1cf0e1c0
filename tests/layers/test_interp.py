"""Interp: hand value, golden values, sizes, independent computation, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Interp" bottom:"x" top:"y" interp_param{%s}'


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
    replay_golden(tmp_path, case)


def test_hand_value():
    x = torch.tensor([[[[0.0, 6.0], [12.0, 30.0]]]])
    (y,) = make_layer(TEXT % "height:3 width:4", x.shape).run(x, device=CPU)
    np.testing.assert_allclose(y[0, 0], [[0, 2, 4, 6], [6, 10, 14, 18], [12, 18, 24, 30]])


def resize(rows, count):
    """Straight lines between the rows of (..., rows): np.interp with matching ends."""
    size = rows.shape[-1]
    places = np.linspace(0, size - 1, count) if count > 1 else np.zeros(1)
    flat = [np.interp(places, np.arange(size), row) for row in rows.reshape(-1, size)]
    return np.reshape(flat, (*rows.shape[:-1], count))


@pytest.mark.parametrize(
    ("fields", "cut", "size"),
    [
        ("height:4 width:11", (0, 0), (4, 11)),
        ("height:1 width:2", (0, 0), (1, 2)),
        ("shrink_factor:3", (0, 0), (3, 2)),
        ("zoom_factor:2", (0, 0), (17, 11)),
        ("shrink_factor:3 zoom_factor:2", (0, 0), (5, 3)),
        ("shrink_factor:3 zoom_factor:2 height:4 width:7", (0, 0), (4, 7)),
        ("zoom_factor:2 height:4 width:7", (0, 0), (17, 11)),
        ("height:4 width:7 pad_beg:-2 pad_end:-1", (2, 1), (4, 7)),
        ("shrink_factor:2 pad_beg:-1", (1, 0), (4, 3)),
    ],
)
def test_sizes_and_values(fields, cut, size):
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 6))
    layer = make_layer(TEXT % fields, x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    rest = x[:, :, cut[0] : 9 - cut[1], cut[0] : 6 - cut[1]]
    want = resize(resize(rest, size[1]).swapaxes(2, 3), size[0]).swapaxes(2, 3)
    np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-12)
    check_gradient(layer, x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("height:3", "give height and width, or shrink_factor"),
        ("shrink_factor:0", "zoom_factor of at least 1"),
        ("height:3 width:4 pad_beg:1", "pad_beg and pad_end of at most 0"),
        ("zoom_factor:2 pad_beg:-4 pad_end:-2", r"at least one pixel, got \(3, 0\)"),
    ],
)
def test_names_what_does_not_fit(fields, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Interp\): .*{message}'):
        make_layer(TEXT % fields, (2, 3, 9, 6)).top_shapes((2, 3, 9, 6))
