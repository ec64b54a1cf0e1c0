"""Convolution: hand value, golden values, independent computation, gradient, errors."""

from itertools import product

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"Convolution" bottom:"x" top:"y" convolution_param{'
    'weight_filler{type:"gaussian"} bias_filler{type:"gaussian"} %s}'
)


def correlate(x, weight, bias, stride, pad, dilation, group):
    """The definition, position by position; x (N, C, S...)."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    kernel = weight.shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    y = np.zeros((len(x), len(weight), *sizes)) + bias.reshape(-1, *[1] * len(sizes))
    per_in, per_out = weight.shape[1], len(weight) // group
    for place in product(*map(range, sizes)):
        spans = zip(place, stride, reach, dilation, strict=True)
        window = x[(..., *(slice(i * s, i * s + r, d) for i, s, r, d in spans))]
        for o in range(len(weight)):
            first = o // per_out * per_in
            y[(slice(None), o, *place)] += (
                (window[:, first : first + per_in] * weight[o]).reshape(len(x), -1).sum(1)
            )
    return y


@pytest.mark.parametrize(
    "case", ["mlic/conv_stride2_nobias", "pspnet/conv_3x3_pad1", "pspnet/conv_group_dilated"]
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TEXT % "num_output:1 kernel_h:1 kernel_w:2", (1, 1, 2, 3))
    layer.blobs[0].store(torch.tensor([[[[1.0, 10.0]]]]))
    layer.blobs[1].store(torch.tensor([0.5]))
    (y,) = layer.run(torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]), device=CPU)
    np.testing.assert_allclose(y.detach(), [[[[21.5, 32.5], [54.5, 65.5]]]])


@pytest.mark.parametrize(
    ("shape", "fields", "stride", "pad", "dilation", "group"),
    [
        ((2, 3, 11), "kernel_size:4 stride:3 pad:2", [3], [2], [1], 1),
        (
            (2, 4, 9, 8),
            "kernel_h:3 kernel_w:2 stride_h:1 stride_w:2 pad_h:2 pad_w:1 dilation:2 group:2",
            [1, 2],
            [2, 1],
            [2, 2],
            2,
        ),
        (
            (2, 3, 4, 5, 6),
            "kernel_size:2 kernel_size:1 kernel_size:3 pad:1 pad:0 pad:2 group:3",
            [1, 1, 1],
            [1, 0, 2],
            [1, 1, 1],
            3,
        ),
        ((3, 4), "group:2", [], [], [], 2),
        ((2, 4, 7, 10), "kernel_size:1 stride_h:2 stride_w:3 group:2", [2, 3], [0, 0], [1, 1], 2),
        ((2, 3), "kernel_size:5 stride:2 pad:1", [], [], [], 1),
        (
            (2, 4, 3, 5, 2, 4),
            "kernel_size:2 stride:1 stride:2 stride:1 stride:1 pad:1 pad:0 pad:0 pad:0 "
            "dilation:1 dilation:2 dilation:1 dilation:1 group:2",
            [1, 2, 1, 1],
            [1, 0, 0, 0],
            [1, 2, 1, 1],
            2,
        ),
    ],
)
def test_equals_the_definition(shape, fields, stride, pad, dilation, group):
    layer = make_layer(TEXT % f"num_output:6 {fields}", shape)
    x = np.random.default_rng(0).standard_normal(shape)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    weight, bias = (blob.tensor().detach().numpy() for blob in layer.blobs)
    want = correlate(x, weight, bias, stride, pad, dilation, group)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-9, atol=1e-9)


def test_channels_at_a_later_axis_and_several_bottoms():
    fields = 'name:"l" type:"Convolution" bottom:"a" bottom:"b" top:"c" top:"d"'
    later = make_layer(
        fields + "convolution_param{num_output:5 kernel_size:3 axis:-3 "
        'weight_filler{type:"gaussian"}}',
        *[(2, 7, 3, 6, 4)] * 2,
    )
    a, b = np.random.default_rng(0).standard_normal((2, 2, 7, 3, 6, 4))
    tops = later.run(torch.tensor(a), torch.tensor(b), device=CPU)
    weight, bias = (blob.tensor().detach().numpy() for blob in later.blobs)
    for x, top in zip((a, b), tops, strict=True):
        want = correlate(x.reshape(14, 3, 6, 4), weight, bias, [1, 1], [0, 0], [1, 1], 1)
        np.testing.assert_allclose(top.detach(), want.reshape(2, 7, 5, 4, 2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 4, 7, 5), (3, 4), (2, 4, 3, 5, 4, 3)])
def test_gradient(shape):
    layer = make_layer(TEXT % "num_output:6 kernel_size:3 stride:2 pad:1 group:2", shape)
    x = np.random.default_rng(1).standard_normal(shape)
    assert layer.top_shapes(shape) == [tuple(layer.run(torch.tensor(x), device=CPU)[0].shape)]
    check_gradient(layer, x)


def test_strided_1x1_filters_never_reach_the_operator(monkeypatch):
    """On a CPU its backward pass destroys the heap (PyTorch 2.13), most of the time silently."""
    layer = make_layer(TEXT % "num_output:16 kernel_size:1 stride:2", (3, 8, 7, 5))
    strides = []
    monkeypatch.setattr(layer, "operator", lambda x, w, b, *rest: strides.append(rest[0]) or x)
    (seen,) = layer.run(torch.zeros(3, 8, 7, 5), device=CPU)
    assert strides == [(1, 1)]
    assert seen.shape == (3, 8, 4, 3)
    layer = make_layer(TEXT % "num_output:6 kernel_size:1 stride_h:2 stride_w:3", (2, 4, 7, 5))
    check_gradient(layer, np.random.default_rng(2).standard_normal((2, 4, 7, 5)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("num_output:4", "kernel_size must be given"),
        ("kernel_size:3", "num_output must be given"),
        ("num_output:4 kernel_size:3 group:2", "multiples of group 2, got 3 and 4"),
        ("num_output:4 kernel_size:3 kernel_h:3", "kernel_h and kernel_w need"),
        ("num_output:4 kernel_size:3 stride:0", r"stride of at least 1, got \[0\]"),
        ("num_output:4 kernel_size:3 pad:1 pad:1 pad:1", "expected 1 or 2 pad, got 3"),
        ("num_output:4 kernel_size:3 axis:4", r"axis in \[-4, 3\], got 4"),
        ("num_output:4 kernel_h:1 kernel_w:1 axis:2", "kernel_w need 2 spatial axes"),
    ],
)
def test_names_the_field_that_does_not_fit(fields, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Convolution\): .*{message}'):
        make_layer(TEXT % fields, (2, 3, 7, 5))
