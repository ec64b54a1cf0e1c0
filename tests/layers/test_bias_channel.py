"""BiasChannel: hand values of both label types, loops, the gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"BiasChannel" bottom:"x" bottom:"y" top:"z" bias_channel_param{%s}'


def test_hand_value_of_image_labels():
    x, y = torch.zeros(1, 3, 1, 2), torch.tensor([0.0, 2, -1]).reshape(1, 3, 1, 1)
    (z,) = make_layer(TEXT % "", x.shape, y.shape).run(x, y, device=CPU)
    np.testing.assert_array_equal(z, [[[[1, 1]], [[0, 0]], [[2, 2]]]])


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1, 1)])
def test_labels_of_whole_images(shape):
    x = np.random.default_rng(0).standard_normal((2, 5, 7, 3))
    y = np.array([[4, 0, 255, 3], [2, -1, 2, -1]], float).reshape(shape)
    fields = "bg_bias:0.5 fg_bias:3 ignore_label:255 ignore_label:0 background_label:3"
    layer = make_layer(TEXT % fields, x.shape, shape)
    (z,) = layer.run(torch.tensor(x), torch.tensor(y), device=CPU)
    want = x.copy()
    want[0, 4] += 3
    want[0, 3] += 0.5
    want[1, 2] += 2 * 3
    np.testing.assert_allclose(z, want)
    check_gradient(layer, x, y, wrt=(0,))


def test_labels_of_each_place():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 3, 7, 5)), rng.integers(0, 4, (2, 1, 7, 5))
    y[y == 3] = 255
    layer = make_layer(TEXT % "label_type:PIXEL ignore_label:255", x.shape, y.shape)
    (z,) = layer.run(torch.tensor(x), torch.tensor(y), device=CPU)
    want = x.copy()
    for n, _, h, w in np.argwhere(y != 255):
        label = y[n, 0, h, w]
        want[n, label, h, w] += 2 if label else 1
    np.testing.assert_allclose(z, want)


@pytest.mark.parametrize(
    ("fields", "x", "y", "message"),
    [
        ("", (2, 3, 7, 5), (2, 1, 7, 5), r"\(N, C, H, W\) and \(N, L, 1, 1\), got"),
        ("", (2, 3, 7, 5), (3, 4), r"got \(2, 3, 7, 5\) and \(3, 4\)"),
        ("", (2, 3), (2, 4), r"got \(2, 3\) and \(2, 4\)"),
        ("label_type:PIXEL", (2, 3, 7, 5), (2, 1, 5, 7), r"and \(N, 1, H, W\), got"),
    ],
)
def test_names_shapes_that_do_not_fit(fields, x, y, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(BiasChannel\): .*{message}'):
        make_layer(TEXT % fields, x, y)


def test_names_a_label_that_no_channel_has():
    layer = make_layer(TEXT % "", (1, 3, 2, 2), (1, 2))
    assert layer.top_shapes((1, 3, 2, 2), (1, 2)) == [(1, 3, 2, 2)]
    with pytest.raises(caffe.CaffeError, match=r'"l".*label 255: expected 0 to 2, or .*ignore_la'):
        layer.run(torch.zeros(1, 3, 2, 2), torch.tensor([[1.0, 255]]), device=CPU)
