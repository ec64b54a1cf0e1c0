"""RoI pooling: the native path against plain torch and against Caffe's loop, ties, NaN, errors."""

import math

import numpy as np
import pytest
import torch

from caffe.ops.roi_pooling import roi_pyramid_pooling
from tests.ops.samples import SHAPES, roi_case, values_and_gradients

IMPOSSIBLE = [
    ([0, 1, 2, math.nan, 4, 1], "finite"),
    ([0, 1, 2, 3, math.inf, 1], "finite"),
    ([0, 1, 2, 3, 4, math.nan], "finite"),
    ([2, 1, 2, 3, 4, 1], r"0 to 1"),
    ([-1, 1, 2, 3, 4, 1], r"0 to 1"),
    ([0.5, 1, 2, 3, 4, 1], r"0 to 1"),
]


def pool_of(rois, grids, scale, dtype=torch.float32):
    """Pooling of maps in `dtype` (float64 takes the plain-torch twin), with score factors."""
    return lambda maps: roi_pyramid_pooling(maps.to(dtype), rois, grids, scale, 10.0, 1.0)


def by_caffes_loop(maps, rois, bins_h, bins_w, scale):
    """Fast R-CNN's loop, number by number, in float32; factor 1."""
    f = np.float32
    channels, height, width = maps.shape[1:]
    top = np.zeros((len(rois), channels, bins_h, bins_w), f)
    for r, (image, *corners) in enumerate(rois[:, :5]):
        x1, y1, x2, y2 = (
            int(math.copysign(math.floor(abs(float(f(v) * f(scale))) + 0.5), v)) for v in corners
        )
        steps = (
            f(max(y2 - y1 + 1, 1)) / f(bins_h),
            f(max(x2 - x1 + 1, 1)) / f(bins_w),
        )
        for h, w in np.ndindex(bins_h, bins_w):
            ys = range(int(np.floor(f(h) * steps[0])), int(np.ceil(f(h + 1) * steps[0])))
            xs = range(int(np.floor(f(w) * steps[1])), int(np.ceil(f(w + 1) * steps[1])))
            ys = [y + y1 for y in ys if 0 <= y + y1 < height]
            xs = [x + x1 for x in xs if 0 <= x + x1 < width]
            if ys and xs:
                top[r, :, h, w] = maps[int(image)][:, ys][:, :, xs].max((1, 2))
    return top


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_native_equals_plain_torch(shape, seed):
    maps, rois, grid, scale = roi_case(shape, seed)
    native = values_and_gradients(pool_of(rois, [grid], scale), maps)
    twin = values_and_gradients(pool_of(rois, [grid], scale, torch.float64), maps)
    for got, want in zip(native, twin, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_caffes_loop(shape, dtype):
    maps, rois, grid, scale = roi_case(shape, seed=5)
    got = roi_pyramid_pooling(maps.to(dtype), rois[:, :5], [grid], scale).unflatten(
        1, (shape[1], *grid)
    )
    want = by_caffes_loop(maps.numpy(), rois.numpy(), *grid, scale)
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_extent_and_number_of_bins_rounds_as_caffe_does(dtype):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((1, 1, 2, 61)).astype(np.float32)
    ends = np.arange(60, dtype=np.float32)
    rois = np.stack([0 * ends, 0 * ends, 0 * ends, ends, 0 * ends], 1)
    for bins in range(1, 12):
        got = roi_pyramid_pooling(
            torch.tensor(maps, dtype=dtype), torch.tensor(rois), [(1, bins)], 1.0
        )
        want = by_caffes_loop(maps, rois, 1, bins, 1.0).reshape(60, bins)
        np.testing.assert_array_equal(got.numpy(), want.astype(got.numpy().dtype))


def test_halves_round_away_from_zero():
    maps = torch.arange(6.0).reshape(1, 1, 1, 6)
    rois = torch.tensor([[0.0, 2.5, 0, 2.5, 0], [0, -0.5, 0, 0.5, 0], [0, 0.49999997, 0, 0, 0]])
    assert roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0).tolist() == [[3.0], [1.0], [0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_of_equal_maxima_takes_the_gradient(dtype):
    maps = torch.tensor([[[[0, 7, 7], [7, 0, 7]]]], dtype=dtype)
    rois = torch.tensor([[0.0, 0, 0, 2, 1, 3.0]])
    maps.requires_grad_(True)
    roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0, score_scale=1.0, score_bias=0.5).backward()
    assert maps.grad.flatten().tolist() == [0, 3.5, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_reach_the_top(dtype):
    maps = torch.tensor([[[[1, math.nan, 2, -math.inf, -math.inf]]]], dtype=dtype)
    rois = torch.tensor([[0.0, 0, 0, 2, 0], [0, 2, 0, 2, 0], [0, 3, 0, 4, 0]])
    top = roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0).flatten().tolist()
    assert math.isnan(top[0])
    assert top[1:] == [2.0, -math.inf]


def test_several_grids_are_the_single_grids_joined():
    maps, rois, _, scale = roi_case(SHAPES[0], seed=1)
    grids = [(1, 1), (2, 3), (7, 4)]
    joined = values_and_gradients(pool_of(rois, grids, scale), maps)
    singles = values_and_gradients(
        lambda x: torch.cat([pool_of(rois, [grid], scale)(x) for grid in grids], 1), maps
    )
    for got, want in zip(joined, singles, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-5)


def test_threads_and_memory_format_do_not_change_a_bit():
    maps, rois, grid, scale = roi_case(SHAPES[2], seed=2)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(values_and_gradients(pool_of(rois, [grid, (2, 1)], scale), maps))
    finally:
        torch.set_num_threads(threads)
    channels_last = maps.contiguous(memory_format=torch.channels_last)
    results.append(values_and_gradients(pool_of(rois, [grid, (2, 1)], scale), channels_last))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_no_gradient_is_prepared_where_none_is_wanted():
    maps, rois, grid, scale = roi_case(SHAPES[1])
    with torch.no_grad():
        quiet = roi_pyramid_pooling(maps.requires_grad_(True), rois, [grid], scale)
    assert not quiet.requires_grad
    assert torch.equal(quiet, roi_pyramid_pooling(maps, rois, [grid], scale).detach())


@pytest.mark.parametrize(("row", "text"), IMPOSSIBLE)
def test_names_the_row_of_an_impossible_box(row, text):
    rois = torch.tensor([[1.0, 0, 0, 5, 5, 1], row])
    with pytest.raises(ValueError, match=f"rois row 1: .*{text}"):
        roi_pyramid_pooling(torch.zeros(2, 3, 5, 7), rois, [(2, 3)], 1.0)


def test_names_wrong_shapes():
    with pytest.raises(ValueError, match=r"\(R, 5\) or \(R, 6\).*got \(2, 4\)"):
        roi_pyramid_pooling(torch.zeros(2, 3, 5, 7), torch.zeros(2, 4), [(2, 3)], 1.0)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(3, 5, 7\)"):
        roi_pyramid_pooling(torch.zeros(3, 5, 7), torch.zeros(2, 5), [(2, 3)], 1.0)
