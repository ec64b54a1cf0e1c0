"""Tile: golden values, axes, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"Tile" bottom:"x" top:"y" tile_param{%s}'


@pytest.mark.parametrize("case", ["mlic/tile", "pspnet/tile"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("fields", "axis", "tiles"),
    [("tiles:3", 1, 3), ("axis:-1 tiles:2", 2, 2), ("axis:0 tiles:1", 0, 1)],
)
def test_axes_and_gradient(fields, axis, tiles):
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    layer = make_layer(TEXT % fields, x.shape)
    (y,) = layer.run(torch.tensor(x), device=torch.device("cpu"))
    np.testing.assert_array_equal(y, np.concatenate([x] * tiles, axis))
    check_gradient(layer, x)


@pytest.mark.parametrize(
    ("fields", "message"), [("axis:1", "tiles must be given"), ("tiles:2 axis:3", "got 3")]
)
def test_names_what_does_not_fit(fields, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Tile\): .*{message}'):
        make_layer(TEXT % fields, (2, 3, 4))
