"""Slice: hand value, golden values, both axis fields, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Slice" bottom:"x" top:"a" top:"b" top:"c" slice_param{%s}'


@pytest.mark.parametrize("case", ["mlic/slice", "pspnet/slice", "pspnet/slice_even"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("fields", "axis", "points"),
    [
        ("slice_point:1 slice_point:4", 1, [1, 4]),
        ("", 1, [2, 4]),
        ("axis:-1 slice_point:4 slice_point:6", 2, [4, 6]),
        ("slice_dim:0 slice_point:2 slice_point:3", 0, [2, 3]),
        ("slice_point:2 slice_point:6", 1, [2, 6]),
    ],
)
def test_pieces_in_order(fields, axis, points):
    x = np.random.default_rng(0).standard_normal((5, 6, 7))
    layer = make_layer(TEXT % fields, x.shape)
    for got, want in zip(
        layer.run(torch.tensor(x), device=CPU), np.split(x, points, axis), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    check_gradient(layer, x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("slice_point:1", "expected 0 or 2 slice_point for 3 tops, got 1"),
        ("slice_point:4 slice_point:4", r"rising slice_point from 1 to 7, got \[4, 4\]"),
        ("slice_point:4 slice_point:8", r"rising slice_point from 1 to 7, got \[4, 8\]"),
        ("slice_point:0 slice_point:4", r"rising slice_point from 1 to 7, got \[0, 4\]"),
        ("", "a multiple of 3 on axis 1, got 7"),
        ("axis:1 slice_dim:1", "axis or slice_dim, not both"),
    ],
)
def test_names_what_does_not_fit(fields, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Slice\): .*{message}'):
        make_layer(TEXT % fields, (2, 7)).top_shapes((2, 7))
