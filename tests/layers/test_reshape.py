"""Reshape: golden values, the rules of shape, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Reshape" bottom:"x" top:"y" reshape_param{%s}'


@pytest.mark.parametrize(
    "case", ["mlic/reshape_axis", "pspnet/reshape_axis", "pspnet/reshape_copy"]
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ("shape{dim:0 dim:-1}", (2, 60)),
        ("shape{dim:6 dim:0 dim:0}", None),
        ("shape{dim:-1 dim:0 dim:5 dim:4}", (2, 3, 5, 4)),
        ("shape{dim:0 dim:-1} axis:1", (2, 3, 20)),
        ("shape{dim:6 dim:2} axis:1 num_axes:2", (2, 6, 2, 5)),
        ("shape{dim:-1} axis:-3 num_axes:2", (2, 3, 20)),
        ("shape{} axis:2 num_axes:0", (2, 3, 4, 5)),
        ("shape{dim:1 dim:1} axis:0 num_axes:0", (1, 1, 2, 3, 4, 5)),
        ("shape{dim:1} axis:-1", (2, 3, 4, 5, 1)),
    ],
)
def test_shapes(fields, want):
    layer = make_layer(TEXT % fields, (2, 3, 4, 5))
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    if want is None:
        with pytest.raises(caffe.CaffeError, match="a shape of 120 numbers"):
            layer.run(x, device=CPU)
        return
    (y,) = layer.run(x, device=CPU)
    assert tuple(y.shape) == want
    np.testing.assert_array_equal(y.flatten(), np.arange(120))


def test_single_number_may_lose_all_axes():
    layer = make_layer(TEXT % "shape{}", (1, 1))
    assert layer.top_shapes((1, 1)) == [()]


def test_follows_another_batch_size():
    layer = make_layer(TEXT % "shape{dim:0 dim:-1 dim:2}", (3, 8))
    assert layer.top_shapes((7, 8)) == [(7, 4, 2)]


def test_without_rows():
    layer = make_layer(TEXT % "shape{dim:0 dim:-1 dim:2}", (3, 8, 5))
    assert layer.top_shapes((0, 8, 5)) == [(0, 20, 2)]
    assert make_layer(TEXT % "shape{dim:-1}", (3, 8)).top_shapes((0, 8)) == [(0,)]
    with pytest.raises(caffe.CaffeError, match=r"for the bottom \(0, 7\), got \[0, -1, 2\]"):
        layer.top_shapes((0, 7))


def test_gradient():
    layer = make_layer(TEXT % "shape{dim:0 dim:-1}", (2, 3, 5))
    check_gradient(layer, np.random.default_rng(1).standard_normal((2, 3, 5)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("shape{dim:-1 dim:-1}", r"a single -1 in shape, got \[-1, -1\]"),
        ("shape{dim:-2}", r"got \[-2\]"),
        ("shape{dim:-1 dim:7}", r"of 30 numbers for the bottom \(2, 3, 5\), got \[-1, 7\]"),
        ("shape{dim:30 dim:1 dim:1 dim:0}", "at place 3 of shape copies no axis"),
        ("shape{dim:5} axis:4", "axis 4 and num_axes -1 reach beyond the bottom's 3 axes"),
        ("shape{dim:15} axis:1 num_axes:3", "axis 1 and num_axes 3 reach beyond"),
    ],
)
def test_names_what_does_not_fit(fields, message):
    layer = make_layer(TEXT % fields, (2, 3, 5))
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Reshape\): .*{message}'):
        layer.top_shapes((2, 3, 5))
