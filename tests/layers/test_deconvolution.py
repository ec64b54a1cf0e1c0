"""Deconvolution: hand value, golden value, transpose of Convolution, gradient."""

import numpy as np
import pytest
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"%s" bottom:"x" top:"y" convolution_param{weight_filler{type:"gaussian"} %s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "pspnet/deconv")


def test_hand_value():
    layer = make_layer(
        TEXT % ("Deconvolution", "num_output:1 kernel_h:1 kernel_w:3 stride:2"), (1, 1, 1, 2)
    )
    layer.blobs[0].store(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    layer.blobs[1].store(torch.tensor([0.5]))
    (y,) = layer.run(torch.tensor([[[[1.0, 10.0]]]]), device=CPU)
    np.testing.assert_allclose(y.detach(), [[[[1.5, 2.5, 13.5, 20.5, 30.5]]]])


@pytest.mark.parametrize(
    ("shape", "out", "fields"),
    [
        ((2, 4, 5), (2, 6, 13), "kernel_size:3 stride:3 pad:1"),
        (
            (2, 4, 4, 3),
            (2, 6, 9, 7),
            "kernel_h:2 kernel_w:3 stride_h:2 stride_w:1 pad_h:0 pad_w:0 group:2 dilation:2",
        ),
        ((2, 4, 2, 3, 4), (2, 6, 3, 5, 7), "kernel_size:2 kernel_size:3 kernel_size:4"),
        ((2, 4), (2, 6), "group:2"),
        (
            (2, 4, 2, 3, 1, 2),
            (2, 6, 2, 6, 2, 3),
            "kernel_size:2 stride:1 stride:2 stride:1 stride:1 dilation:2 dilation:1 dilation:1 "
            "dilation:1 pad:1 pad:0 pad:0 pad:0 group:2",
        ),
    ],
)
def test_is_the_transpose_of_convolution(shape, out, fields):
    """<deconv(x), z> = <x, conv(z)> for all x and z, with the same filters."""
    fields += " bias_term:false"
    deconv = make_layer(TEXT % ("Deconvolution", fields + " num_output:6"), shape)
    conv = make_layer(TEXT % ("Convolution", fields + " num_output:4"), out)
    assert conv.blobs[0].shape == deconv.blobs[0].shape
    conv.blobs[0].store(deconv.blobs[0].tensor())
    rng = np.random.default_rng(0)
    x, z = torch.tensor(rng.standard_normal(shape)), torch.tensor(rng.standard_normal(out))
    (up,), (down,) = deconv.run(x, device=CPU), conv.run(z, device=CPU)
    assert tuple(up.shape) == out
    assert deconv.top_shapes(shape) == [out]
    left, right = (up.detach() * z).sum(), (x * down.detach()).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-9)


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (3, 4), (2, 4, 3, 2, 2, 3)])
def test_gradient(shape):
    layer = make_layer(
        TEXT % ("Deconvolution", "num_output:6 kernel_size:3 stride:2 pad:1 group:2"), shape
    )
    layer.blobs[1].store(torch.randn(6, dtype=torch.float64))
    check_gradient(layer, np.random.default_rng(1).standard_normal(shape))
