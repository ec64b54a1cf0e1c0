"""Im2col: hand value, golden value, product with filters equals Convolution, gradient."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"%s" bottom:"x" top:"y" convolution_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/im2col")


def test_hand_value():
    layer = make_layer(TEXT % ("Im2col", "kernel_h:1 kernel_w:2 pad_h:0 pad_w:1"), (1, 1, 2, 1))
    (y,) = layer.run(torch.tensor([[[[3.0], [4.0]]]]), device=CPU)
    np.testing.assert_array_equal(y, [[[[0, 3], [0, 4]], [[3, 0], [4, 0]]]])


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ((2, 3, 9), "kernel_size:2 stride:2 dilation:3"),
        ((2, 3, 9, 8), "kernel_h:3 kernel_w:2 stride_h:2 stride_w:1 pad_h:1 pad_w:0 dilation:2"),
        ((2, 3, 4, 5, 6), "kernel_size:2 kernel_size:3 kernel_size:1 pad:1 pad:0 pad:2"),
    ],
)
def test_filters_times_columns_are_the_convolution(shape, fields):
    columns = make_layer(TEXT % ("Im2col", fields), shape)
    filters = ' num_output:4 bias_term:false weight_filler{type:"gaussian"}'
    conv = make_layer(TEXT % ("Convolution", fields + filters), shape)
    x = torch.tensor(np.random.default_rng(0).standard_normal(shape))
    (y,), (want,) = columns.run(x, device=CPU), conv.run(x, device=CPU)
    weight = conv.blobs[0].tensor().reshape(4, -1)
    got = torch.einsum("ok,nk...->no...", weight, y)
    np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-9, atol=1e-9)


def test_channels_at_a_later_axis():
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, 7, 3, 6)))
    later = make_layer(TEXT % ("Im2col", "kernel_size:4 axis:2"), tuple(x.shape))
    plain = make_layer(TEXT % ("Im2col", "kernel_size:4"), (14, 3, 6))
    (y,), (want,) = later.run(x, device=CPU), plain.run(x.reshape(14, 3, 6), device=CPU)
    np.testing.assert_array_equal(y, want.reshape(2, 7, 12, 3))


def test_gradient():
    layer = make_layer(TEXT % ("Im2col", "kernel_size:3 stride:2 pad:1"), (2, 3, 6, 5))
    check_gradient(layer, np.random.default_rng(1).standard_normal((2, 3, 6, 5)))


def test_needs_spatial_axes():
    with pytest.raises(caffe.CaffeError, match="expected axes behind axis 1"):
        make_layer(TEXT % ("Im2col", "kernel_size:3"), (2, 3))
