"""Flatten: golden values, ranges of axes, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"Flatten" bottom:"x" top:"y" flatten_param{%s}'


@pytest.mark.parametrize("case", ["mlic/flatten", "mlic/flatten_range"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ("", (2, 60)),
        ("axis:0", (120,)),
        ("axis:1 end_axis:2", (2, 12, 5)),
        ("axis:-3 end_axis:-2", (2, 12, 5)),
        ("axis:2 end_axis:2", (2, 3, 4, 5)),
    ],
)
def test_ranges(fields, want):
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    (y,) = make_layer(TEXT % fields, x.shape).run(x, device=torch.device("cpu"))
    np.testing.assert_array_equal(y, np.arange(120).reshape(want))


def test_gradient():
    x = np.random.default_rng(1).standard_normal((2, 3, 5))
    check_gradient(make_layer(TEXT % "", x.shape), x)


def test_range_that_runs_backwards():
    layer = make_layer(TEXT % "axis:2 end_axis:1", (2, 3, 5))
    with pytest.raises(caffe.CaffeError, match="axis <= end_axis, got 2 and 1"):
        layer.top_shapes((2, 3, 5))
