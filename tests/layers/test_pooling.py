"""Pooling: hand values, golden values, Caffe's window rules cell by cell, gradients, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Pooling" bottom:"x" top:"y" pooling_param{%s}'
MASK = 'name:"l" type:"Pooling" bottom:"x" top:"y" top:"place" pooling_param{%s}'
CASES = [  # map, fields, kernel, stride, pad
    ((7, 5), "kernel_size:2 stride:2", (2, 2), (2, 2), (0, 0)),
    ((8, 6), "kernel_size:3 stride:2 pad:1", (3, 3), (2, 2), (1, 1)),
    ((8, 6), "kernel_size:3 stride:2 pad:2", (3, 3), (2, 2), (2, 2)),
    ((9, 7), "kernel_h:3 kernel_w:2 stride_h:2 stride_w:3", (3, 2), (2, 3), (0, 0)),
    ((9, 7), "kernel_h:4 kernel_w:2 stride_h:1 stride_w:3 pad_h:3", (4, 2), (1, 3), (3, 0)),
    ((7, 5), "kernel_h:8 kernel_w:3 stride:2", (8, 3), (2, 2), (0, 0)),
    ((7, 5), "kernel_size:3 stride:3 round_mode:FLOOR", (3, 3), (3, 3), (0, 0)),
    ((7, 5), "global_pooling:true", (7, 5), (1, 1), (0, 0)),
]


def windows(size, kernel, stride, pad, floor):
    """(start, end) of each window on one axis, uncut in front and cut at size + pad behind."""
    rounded = math.floor if floor else math.ceil
    count = rounded((size + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    starts = [i * stride - pad for i in range(count)]
    return [(start, min(start + kernel, size + pad)) for start in starts]


def cells(x, kernel, stride, pad, floor):
    """For each window: its place in y, its part of x, its count of cells, its first row, column."""
    rows = windows(x.shape[2], kernel[0], stride[0], pad[0], floor)
    columns = windows(x.shape[3], kernel[1], stride[1], pad[1], floor)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            part = x[:, :, max(top, 0) : bottom, max(left, 0) : right]
            yield (i, j), part, (bottom - top) * (right - left), max(top, 0), max(left, 0)


@pytest.mark.parametrize(
    "case",
    [
        "mlic/pool_ave_2x2s2",
        "mlic/pool_ave_3x3s2p1",
        "mlic/pool_max_2x2s2",
        "mlic/pool_max_3x3s2p1",
        "mlic/pool_max_global",
        "pspnet/pool_max_3x3s2p1",
        "pspnet/pool_max_global",
        "pspnet/pool_max_rect",
    ],
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_values():
    x = torch.tensor([[[[1.0, 2.0, 9.0], [3.0, 6.0, 1.0]]]])
    (y,) = make_layer(TEXT % "pool:MAX kernel_size:2 stride:2", x.shape).run(x, device=CPU)
    np.testing.assert_array_equal(y, [[[[6, 9]]]])
    (y,) = make_layer(TEXT % "pool:AVE kernel_size:2 stride:2", x.shape).run(x, device=CPU)
    np.testing.assert_array_equal(y, [[[[3, 5]]]])
    (y,) = make_layer(TEXT % "pool:AVE kernel_size:2 stride:2 pad:1", x.shape).run(x, device=CPU)
    np.testing.assert_array_equal(y, [[[[0.25, 2.75], [0.75, 1.75]]]])


@pytest.mark.parametrize(("size", "fields", "kernel", "stride", "pad"), CASES)
def test_max_and_its_place(size, fields, kernel, stride, pad):
    # Few different numbers, so that equal maxima occur: the first one counts.
    x = np.random.default_rng(0).integers(-3, 3, (2, 3, *size)).astype(np.float64)
    (alone,) = make_layer(TEXT % fields, x.shape).run(torch.tensor(x), device=CPU)
    y, place = make_layer(MASK % fields, x.shape).run(torch.tensor(x), device=CPU)
    count = 0
    for (i, j), part, _, top, left in cells(x, kernel, stride, pad, "FLOOR" in fields):
        flat = part.reshape(2, 3, -1)
        row, column = np.unravel_index(flat.argmax(2), part.shape[2:])
        np.testing.assert_array_equal(alone[:, :, i, j], flat.max(2))
        np.testing.assert_array_equal(y[:, :, i, j], flat.max(2))
        np.testing.assert_array_equal(place[:, :, i, j], (top + row) * size[1] + left + column)
        count += 1
    assert count == y[0, 0].numel() == alone[0, 0].numel()


@pytest.mark.parametrize(("size", "fields", "kernel", "stride", "pad"), CASES)
def test_average_divides_by_the_cells_with_padding(size, fields, kernel, stride, pad):
    x = np.random.default_rng(0).standard_normal((2, 3, *size))
    (y,) = make_layer(TEXT % f"pool:AVE {fields}", x.shape).run(torch.tensor(x), device=CPU)
    count = 0
    for (i, j), part, number, _, _ in cells(x, kernel, stride, pad, "FLOOR" in fields):
        np.testing.assert_allclose(y[:, :, i, j], part.sum((2, 3)) / number, atol=1e-12)
        count += 1
    assert count == y[0, 0].numel()


def test_window_behind_the_map_has_no_place():
    x = torch.arange(35.0).reshape(1, 1, 5, 7)
    y, place = make_layer(MASK % "kernel_size:1 stride:3", x.shape).run(x, device=CPU)
    assert y.shape == (1, 1, 3, 3)
    np.testing.assert_array_equal(place[0, 0], [[0, 3, 6], [21, 24, 27], [-1, -1, -1]])
    np.testing.assert_array_equal(y[0, 0, 2], [np.finfo(np.float32).min] * 3)


def test_stochastic_test_phase_is_the_expectation():
    x = np.random.default_rng(0).random((2, 3, 7, 5))
    x[0, 0, :2, :2] = 0
    layer = make_layer(TEXT % "pool:STOCHASTIC kernel_size:2 stride:2", x.shape, phase=caffe.TEST)
    (y,) = layer.run(torch.tensor(x), device=CPU)
    assert y.shape == (2, 3, 4, 3)
    for (i, j), part, *_ in cells(x, (2, 2), (2, 2), (0, 0), False):
        total = part.sum((2, 3))
        want = (part**2).sum((2, 3)) / np.where(total > 0, total, 1)
        np.testing.assert_allclose(y[:, :, i, j], want)


def test_stochastic_train_phase_draws_in_proportion():
    torch.manual_seed(0)
    x = torch.tensor([1.0, 0.0, 3.0, 4.0]).reshape(1, 1, 2, 2).repeat(2, 5000, 1, 1)
    x.requires_grad_(True)
    layer = make_layer(TEXT % "pool:STOCHASTIC kernel_size:2", x.shape)
    (y,) = layer.run(x, device=CPU)
    values, counts = y.detach().unique(return_counts=True)
    np.testing.assert_array_equal(values, [1, 3, 4])
    np.testing.assert_allclose(counts / 10000, [1 / 8, 3 / 8, 4 / 8], atol=0.02)
    (grad,) = torch.autograd.grad(y.sum(), x)
    np.testing.assert_array_equal((grad * x).sum((2, 3)).detach(), y.detach()[:, :, 0, 0])


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize(("size", "fields"), [case[:2] for case in CASES])
def test_gradient(kind, size, fields):
    # Distinct numbers, far enough apart that a small step changes no maximum.
    x = np.random.default_rng(1).permutation(np.prod((2, 3, *size))).reshape(2, 3, *size) / 10
    check_gradient(make_layer(TEXT % f"pool:{kind} {fields}", x.shape), x)


def test_global_pooling_follows_the_bottom():
    layer = make_layer(TEXT % "global_pooling:true", (2, 3, 7, 5))
    (y,) = layer.run(torch.zeros(2, 3, 4, 9), device=CPU)
    assert y.shape == (2, 3, 1, 1)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (TEXT % "kernel_size:2", (2, 3, 7), r"expected a bottom \(N, C, H, W\), got \(2, 3, 7\)"),
        (TEXT % "stride:2", (2, 3, 7, 5), "kernel_size must be given"),
        (TEXT % "kernel_size:2 pad:2", (2, 3, 7, 5), "pad smaller than the kernel"),
        (TEXT % "global_pooling:true kernel_size:2", (2, 3, 7, 5), "leave the kernel out"),
        (TEXT % "global_pooling:true pad:1", (2, 3, 7, 5), "needs stride 1 and pad 0"),
        (TEXT % "pool:STOCHASTIC kernel_size:3 pad:1", (2, 3, 7, 5), "needs pad 0"),
        (MASK % "pool:AVE kernel_size:2", (2, 3, 7, 5), "expected 1 top, or 2 with pool: MAX"),
    ],
)
def test_names_what_does_not_fit(text, shape, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Pooling\): .*{message}'):
        make_layer(text, shape)


def test_map_smaller_than_the_window():
    layer = make_layer(TEXT % "kernel_size:9", (2, 3, 7, 5))
    with pytest.raises(caffe.CaffeError, match=r"at least \(9, 9\), got a bottom \(2, 3, 7, 5\)"):
        layer.top_shapes((2, 3, 7, 5))
