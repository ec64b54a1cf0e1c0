"""LRN: hand value, golden values, both regions against the definition, gradients, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"LRN" bottom:"x" top:"y" lrn_param{%s}'


@pytest.mark.parametrize("case", ["mlic/lrn_across", "mlic/lrn_within"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TEXT % "local_size:3 beta:1 alpha:3 k:2", (1, 3, 1, 1))
    (y,) = layer.run(torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1), device=CPU)
    np.testing.assert_allclose(y.flatten(), [1 / 7, 2 / 16, 3 / 15], rtol=1e-6)


def test_across_channels():
    x = np.random.default_rng(0).standard_normal((2, 7, 4, 3))
    layer = make_layer(TEXT % "local_size:5 alpha:0.5 k:1.5", x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    for c in range(7):
        squares = (x[:, max(0, c - 2) : c + 3] ** 2).sum(1)
        np.testing.assert_allclose(y[:, c], x[:, c] * (1.5 + 0.1 * squares) ** -0.75, rtol=1e-9)
    check_gradient(layer, x)


def test_within_channel_takes_k_as_1():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    layer = make_layer(TEXT % "local_size:3 alpha:0.5 norm_region:WITHIN_CHANNEL k:7", x.shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    for i in range(6):
        for j in range(5):
            part = x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
            norm = (1 + 0.5 * (part**2).sum((2, 3)) / 9) ** -0.75
            np.testing.assert_allclose(y[:, :, i, j], x[:, :, i, j] * norm, rtol=1e-9)
    check_gradient(layer, x)


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ("local_size:4", (2, 3, 6, 5), "an odd local_size, got 4"),
        ("", (2, 3, 6), r"a bottom \(N, C, H, W\), got \(2, 3, 6\)"),
    ],
)
def test_names_what_does_not_fit(fields, shape, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(LRN\): .*{message}'):
        make_layer(TEXT % fields, shape)
