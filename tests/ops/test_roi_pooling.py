"""RoI pooling: the CPU, the kernels, plain torch and Caffe's loop agree; ties, NaN, bad input."""

import math
from ctypes import c_int64

import numpy as np
import pytest
import torch

from caffe.ops import native, roi_pooling
from caffe.ops.roi_pooling import roi_pyramid_pooling
from tests.ops.samples import SHAPES, roi_case, same_bits, values_and_gradients

IMPOSSIBLE = [
    ([0, 1, 2, math.nan, 4, 1], "finite"),
    ([0, 1, 2, 3, math.inf, 1], "finite"),
    ([0, 1, 2, 3, 4, math.nan], "finite"),
    ([0, 1, 2, 3, 2.0**25, 1], "finite"),
    ([math.nan, 1, 2, 3, 4, 1], "finite"),
    ([2, 1, 2, 3, 4, 1], r"0 to 1\)"),
    ([-1, 1, 2, 3, 4, 1], r"0 to 1\)"),
    ([0.5, 1, 2, 3, 4, 1], r"0 to 1\)"),
]
GRIDS = [(2, 3), (1, 1), (7, 4)]


def pool_of(rois, grids, scale):
    """Pooling with score factors, as a function of the maps."""
    return lambda maps: roi_pyramid_pooling(maps, rois, grids, scale, 10.0, 1.0)


def twin_of(rois, grids, scale):
    """The same by the plain-torch twin, which float64 takes."""
    return lambda maps: roi_pyramid_pooling(maps.double(), rois, grids, scale, 10.0, 1.0)


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
@pytest.mark.parametrize("seed", range(2))
def test_equals_plain_torch(shape, seed, device):
    maps, rois, grid, scale = roi_case(shape, seed)
    ours = values_and_gradients(pool_of(rois.to(device), [grid, *GRIDS], scale), maps.to(device))
    twin = values_and_gradients(twin_of(rois, [grid, *GRIDS], scale), maps)
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got.cpu(), want.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_give_the_cpus_bits_in_any_order_of_threads(shape, kernels, use_kernels):
    maps, rois, grid, scale = roi_case(shape, seed=2)
    maps += torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))  # fewer ties
    on_cpu = values_and_gradients(pool_of(rois, [grid, *GRIDS], scale), maps)
    use_kernels()
    for order in (1, 2, 0):
        kernels.caffe_set_order(order)
        assert same_bits(values_and_gradients(pool_of(rois, [grid, *GRIDS], scale), maps), on_cpu)


def test_a_gpu_gives_the_cpus_bits(gpu):
    for shape in SHAPES:
        maps, rois, grid, scale = roi_case(shape, seed=3)
        on_cpu = values_and_gradients(pool_of(rois, [grid, *GRIDS], scale), maps)
        pool = pool_of(rois.to(gpu), [grid, *GRIDS], scale)
        for _ in range(3):
            assert same_bits(values_and_gradients(pool, maps.to(gpu)), on_cpu)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_caffes_loop(shape, dtype, device):
    maps, rois, grid, scale = roi_case(shape, seed=5)
    got = roi_pyramid_pooling(maps.to(device, dtype), rois[:, :5].to(device), [grid], scale)
    want = by_caffes_loop(maps.numpy(), rois.numpy(), *grid, scale)
    np.testing.assert_array_equal(got.cpu().numpy().reshape(want.shape), want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_extent_and_number_of_bins_rounds_as_caffe_does(dtype, device):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((1, 1, 2, 61)).astype(np.float32)
    ends = np.arange(60, dtype=np.float32)
    rois = np.stack([0 * ends, 0 * ends, 0 * ends, ends, 0 * ends], 1)
    for bins in range(1, 12):
        got = roi_pyramid_pooling(
            torch.tensor(maps, dtype=dtype, device=device),
            torch.tensor(rois, device=device),
            [(1, bins)],
            1.0,
        )
        want = by_caffes_loop(maps, rois, 1, bins, 1.0).reshape(60, bins)
        np.testing.assert_array_equal(got.cpu().numpy(), want)


def test_the_bins_over_a_pixel_are_those_that_hold_it(kernels):
    assert kernels.caffe_wrong_bins(c_int64(80), c_int64(40)) == 0


def test_maps_of_more_pixels_than_16_bits_number():
    maps = torch.rand(1, 2, 260, 257)
    rois = torch.tensor([[0.0, 250, 240, 256, 259, 2], [0, 3, 1, 200, 255, 0.5]])
    ours = values_and_gradients(pool_of(rois, [(2, 3)], 1.0), maps)
    twin = values_and_gradients(twin_of(rois, [(2, 3)], 1.0), maps)
    for got, want in zip(ours, twin, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-6, atol=1e-6)


def test_halves_round_away_from_zero(device):
    maps = torch.arange(6.0, device=device).reshape(1, 1, 1, 6)
    rois = torch.tensor([[0.0, 2.5, 0, 2.5, 0], [0, -0.5, 0, 0.5, 0], [0, 0.49999997, 0, 0, 0]])
    assert roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0).tolist() == [[3.0], [1.0], [0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_of_equal_maxima_takes_the_gradient(dtype, device):
    maps = torch.tensor([[[[0, 7, 7], [7, 0, 7]]]], dtype=dtype, device=device)
    rois = torch.tensor([[0.0, 0, 0, 2, 1, 3.0]])
    maps.requires_grad_(True)
    roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0, score_scale=1.0, score_bias=0.5).backward()
    assert maps.grad.flatten().tolist() == [0, 3.5, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_reach_the_top(dtype, device):
    maps = torch.tensor([[[[1, math.nan, 2, -math.inf, -math.inf]]]], dtype=dtype, device=device)
    rois = torch.tensor([[0.0, 0, 0, 2, 0], [0, 2, 0, 2, 0], [0, 3, 0, 4, 0]])
    top = roi_pyramid_pooling(maps, rois, [(1, 1)], 1.0).flatten().tolist()
    assert math.isnan(top[0])
    assert top[1:] == [2.0, -math.inf]


def test_several_grids_are_the_single_grids_joined(device):
    maps, rois, _, scale = roi_case(SHAPES[0], seed=1)
    maps = maps.to(device)
    joined = values_and_gradients(pool_of(rois, GRIDS, scale), maps)
    singles = values_and_gradients(
        lambda x: torch.cat([pool_of(rois, [grid], scale)(x) for grid in GRIDS], 1), maps
    )
    for got, want in zip(joined, singles, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-5)


def test_threads_do_not_change_a_bit():
    maps, rois, grid, scale = roi_case(SHAPES[2], seed=2)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(values_and_gradients(pool_of(rois, [grid, (2, 1)], scale), maps))
    finally:
        torch.set_num_threads(threads)
    assert all(same_bits(results[0], other) for other in results[1:])


def test_the_gradient_has_the_memory_format_of_the_maps(device):
    maps, rois, grid, scale = roi_case(SHAPES[2], seed=2)
    maps = maps.to(device)
    results = values_and_gradients(pool_of(rois, [grid, (2, 1)], scale), maps)
    assert results[1].is_contiguous()
    last = maps.contiguous(memory_format=torch.channels_last)
    others = values_and_gradients(pool_of(rois, [grid, (2, 1)], scale), last)
    assert others[1].is_contiguous(memory_format=torch.channels_last)
    assert same_bits(results, others)


def test_maps_and_gradients_of_any_strides(device):
    maps, rois, grid, scale = roi_case(SHAPES[3], seed=2)
    results = values_and_gradients(pool_of(rois, [grid], scale), maps.to(device))
    wide = torch.zeros(*maps.shape[:2], 9, 21)
    strided = wide[:, :, 2:7, 3:19:2].copy_(maps).to(device).requires_grad_(True)
    top = roi_pyramid_pooling(strided, rois, [grid], scale, 10.0, 1.0)
    weight = torch.linspace(-1, 2, top.numel(), dtype=torch.float64).reshape(top.shape).to(top)
    strided_weight = weight.t().contiguous().t()
    grads = torch.autograd.grad(top, [strided], strided_weight)
    assert same_bits(results, [top.detach(), *grads])


def test_no_gradient_is_prepared_where_none_is_wanted(device):
    maps, rois, grid, scale = roi_case(SHAPES[1])
    maps = maps.to(device)
    with torch.no_grad():
        quiet = roi_pyramid_pooling(maps.requires_grad_(True), rois, [grid], scale)
    assert not quiet.requires_grad
    assert torch.equal(quiet, roi_pyramid_pooling(maps, rois, [grid], scale).detach())


def test_rois_get_no_gradient(device):
    maps, rois, grid, scale = roi_case(SHAPES[0])
    rois = rois.to(device).requires_grad_(True)
    maps = maps.to(device).requires_grad_(True)
    roi_pyramid_pooling(maps, rois, [grid], scale).sum().backward()
    assert rois.grad is None
    assert maps.grad is not None


@pytest.mark.parametrize("shape", [(1, 2, 0, 3), (1, 2, 3, 0), (1, 0, 3, 4), (0, 2, 3, 4)])
def test_maps_without_pixels_channels_or_images(shape, device):
    rois = torch.zeros(2 if shape[0] else 0, 5)
    maps = torch.zeros(shape, device=device, requires_grad=True)
    top = roi_pyramid_pooling(maps, rois, [(2, 3), (1, 1)], 1.0)
    assert top.shape == (len(rois), shape[1] * 7)
    assert not top.any()
    top.sum().backward()
    assert maps.grad.shape == shape


def test_a_row_that_a_gpu_found_impossible_becomes_nan_and_touches_nothing(use_kernels):
    maps = torch.rand(2, 70, 5, 7, requires_grad=True)
    boxes = torch.tensor([[0.0, 0, 0, 5, 5], [math.nan] * 5, [1, 2, 1, 3, 2]])
    use_kernels()
    top = roi_pooling._RoiPool.apply(maps, boxes, torch.ones(3), [(2, 3), (1, 1)], 1.0, True)
    assert top[1].isnan().all()
    assert not top[[0, 2]].isnan().any()
    top[1].sum().backward()
    assert not maps.grad.any()


@pytest.mark.parametrize(("row", "text"), IMPOSSIBLE)
def test_names_the_row_of_an_impossible_box(row, text, use_kernels):
    rois = torch.tensor([[1.0, 0, 0, 5, 5, 1], row, row])
    with pytest.raises(ValueError, match=f"rois row 1: .*{text}"):
        roi_pyramid_pooling(torch.zeros(2, 3, 5, 7), rois, [(2, 3)], 1.0)
    use_kernels()
    with pytest.raises(ValueError, match=f"rois row 1: .*{text}"):
        roi_pyramid_pooling(torch.zeros(2, 3, 5, 7), rois, [(2, 3)], 1.0)


MAPS, ROIS = torch.zeros(2, 3, 5, 7), torch.zeros(2, 5)
MANY = torch.zeros(1, 1, 1, 1).expand(1, 2**20, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((MAPS, torch.zeros(2, 4), [(2, 3)], 1.0), r"\(R, 5\) or \(R, 6\).*got \(2, 4\)"),
        ((MAPS, torch.tensor(1.0), [(2, 3)], 1.0), r"\(R, 5\) or \(R, 6\).*got \(\)"),
        ((MAPS[0], ROIS, [(2, 3)], 1.0), r"\(N, C, H, W\), got \(3, 5, 7\)"),
        ((MAPS.long(), ROIS, [(2, 3)], 1.0), r"maps: .*floating-point.*torch\.int64"),
        ((MAPS, ROIS.to(torch.complex64), [(2, 3)], 1.0), r"rois: .*real.*torch\.complex64"),
        ((MAPS, ROIS, [], 1.0), r"1 to 16 grids .*got \[\]"),
        ((MAPS, ROIS, [(1, 1)] * 17, 1.0), r"1 to 16 grids"),
        ((MAPS, ROIS, [(2, 3), (0, 1)], 1.0), r"at least 1 bin a side"),
        ((MAPS, ROIS, [(2.5, 3)], 1.0), r"at least 1 bin a side, got \[\(2\.5, 3\)\]"),
        ((MAPS, ROIS, [(2, 3)], 0.0), r"finite spatial_scale above 0, got 0\.0"),
        ((MAPS, ROIS, [(2, 3)], math.nan), r"finite spatial_scale above 0, got nan"),
        ((MAPS, ROIS, [(2, 3)], 1.0, math.inf), r"finite score_scale and score_bias, got inf"),
        ((MANY, torch.zeros(2048, 5), [(1, 1)], 1.0), r"at most 2147483647.*\(2048, 1048576\)"),
        ((MANY, ROIS, [(64, 64)], 1.0), r"at most 2147483647 numbers"),
    ],
)
def test_names_what_cannot_be_pooled(arguments, text, monkeypatch):
    monkeypatch.setattr(native, "call", None)  # nothing is started
    with pytest.raises(ValueError, match=text):
        roi_pyramid_pooling(*arguments)
