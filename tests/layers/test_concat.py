"""Concat: hand value, golden values, both axis fields, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Concat" bottom:"a" bottom:"b" top:"y" concat_param{%s}'


@pytest.mark.parametrize("case", ["mlic/concat_c", "pspnet/concat_c", "pspnet/concat_n"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    (y,) = make_layer(TEXT % "", (2, 1), (2, 2)).run(a, b, device=CPU)
    np.testing.assert_array_equal(y, [[1, 3, 4], [2, 5, 6]])


@pytest.mark.parametrize(
    ("fields", "axis"), [("axis:0", 0), ("axis:-1", 2), ("concat_dim:2", 2), ("", 1)]
)
def test_axis(fields, axis):
    shapes = [[2, 3, 4], [2, 3, 4]]
    shapes[1][axis] = 7
    a, b = (np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(shapes))
    layer = make_layer(TEXT % fields, a.shape, b.shape)
    (y,) = layer.run(torch.tensor(a), torch.tensor(b), device=CPU)
    np.testing.assert_array_equal(y, np.concatenate([a, b], axis))
    check_gradient(layer, a, b)


@pytest.mark.parametrize(
    ("fields", "shapes", "message"),
    [
        ("", [(2, 3, 4), (2, 3, 5)], r"\(2, 3, 4\) and, as bottom 1, \(2, 3, 5\)"),
        ("", [(2, 3), (2, 3, 5)], r"\(2, 3\) and, as bottom 1, \(2, 3, 5\)"),
        ("axis:3", [(2, 3), (2, 3)], r"axis in \[-2, 1\], got 3"),
        ("axis:1 concat_dim:1", [(2, 3), (2, 3)], "axis or concat_dim, not both"),
    ],
)
def test_names_what_does_not_fit(fields, shapes, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Concat\): .*{message}'):
        make_layer(TEXT % fields, *shapes)
