"""Crop: golden value, offsets, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Crop" bottom:"x" bottom:"like" top:"y" crop_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/crop")


@pytest.mark.parametrize(
    ("fields", "piece"),
    [
        ("", np.s_[:, :, :4, :5]),
        ("offset:2", np.s_[:, :, 2:6, 2:7]),
        ("axis:-2 offset:3 offset:1", np.s_[:, :, 3:7, 1:6]),
        ("axis:1 offset:3 offset:0 offset:2", np.s_[:, 3:5, 0:4, 2:7]),
    ],
)
def test_offsets(fields, piece):
    x = np.random.default_rng(0).standard_normal((3, 6, 8, 9))
    like = np.zeros((3, 2, 4, 5))
    layer = make_layer(TEXT % fields, x.shape, like.shape)
    (y,) = layer.run(torch.tensor(x), torch.tensor(like), device=CPU)
    np.testing.assert_array_equal(y, x[piece])
    check_gradient(layer, x, like, wrt=(0,))


@pytest.mark.parametrize(
    ("fields", "like", "message"),
    [
        ("offset:5", (3, 2, 4, 4), "expected at least 5 \\+ 4 on axis 2, got 8"),
        ("offset:1 offset:1 offset:1", (3, 2, 4, 5), "expected 1 or 2 offset, got 3"),
        ("", (4, 5), r"as many axes, got \(3, 6, 8, 9\) and \(4, 5\)"),
        ("axis:4", (3, 2, 4, 5), r"axis in \[-4, 3\], got 4"),
    ],
)
def test_names_what_does_not_fit(fields, like, message):
    shapes = ((3, 6, 8, 9), like)
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Crop\): .*{message}'):
        make_layer(TEXT % fields, *shapes).top_shapes(*shapes)
