"""RoI max pooling, over one grid of bins per box or over several."""

import math
from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable

from caffe.blob import checked_shape
from caffe.ops import native
from caffe.ops.rois import check_shape, checked_rois

Grids = Sequence[tuple[int, int]]
_MOST_GRIDS = 16  # kMostGrids in csrc/roi_pooling.h


def roi_pooling(
    maps: torch.Tensor,
    rois: torch.Tensor,
    pooled_h: int,
    pooled_w: int,
    spatial_scale: float,
    score_scale: float = 0.0,
    score_bias: float = 1.0,
) -> torch.Tensor:
    """`roi_pyramid_pooling` with a single grid -> (R, C, pooled_h, pooled_w)."""
    grid = (pooled_h, pooled_w)
    rows = roi_pyramid_pooling(maps, rois, [grid], spatial_scale, score_scale, score_bias)
    return rows.unflatten(1, (maps.shape[1], *grid))


def roi_pyramid_pooling(
    maps: torch.Tensor,
    rois: torch.Tensor,
    grids: Grids,
    spatial_scale: float,
    score_scale: float = 0.0,
    score_bias: float = 1.0,
) -> torch.Tensor:
    """Maximum of each bin of each box, times score_scale * score + score_bias.

    maps (N, C, H, W); rois (R, 5 or 6), see caffe.ops.rois, without score the factor is 1; grids:
    (bins_h, bins_w) of each level.
    -> (R, C * sum of bins_h * bins_w): level after level, each in C, h, w order.

    Corners on the map are round(x * spatial_scale), halves away from zero; a box has at least one
    pixel; bin p of P covers floor(p * size / P) .. ceil((p + 1) * size / P), clipped to the map, in
    float32. An empty bin gives 0. Of equal maxima the first in row order gets the gradient; rois
    get none. A bin that holds a NaN gives NaN.
    Source: Fast R-CNN's ROIPooling; the factor is the authors' (and WSDDN's).
    Raises ValueError for shapes, numbers of bins, scales or types that do not fit, for more outputs
    than a blob may have and, naming the row, for impossible rois (on a GPU later, see
    caffe.ops.rois). rois may lie on another device than maps.
    """
    check_maps(tuple(maps.shape))
    native.check_tensors({"maps": maps})
    grids = _checked_grids(grids)
    _check_scales(spatial_scale, score_scale, score_bias)
    check_shape(tuple(rois.shape))
    checked_shape((max(len(rois), 1), maps.shape[1] * sum(h * w for h, w in grids)))
    ours = native.takes(maps)
    device = maps.device if ours else torch.device("cpu")
    rows = checked_rois(rois, device, images=maps.shape[0], scale=spatial_scale)
    factors = torch.ones_like(rows[:, 0])
    if rows.shape[1] == 6:
        factors = rows[:, 5] * score_scale + score_bias
    boxes = rows[:, :5].contiguous()
    if ours:
        wanted = maps.requires_grad and torch.is_grad_enabled()
        return _RoiPool.apply(maps, boxes, factors, grids, float(spatial_scale), wanted)
    return roi_pyramid_pooling_reference(maps, boxes, factors, grids, spatial_scale)


def check_maps(shape: tuple[int, ...]) -> None:
    """Raises ValueError if `shape` is not (N, C, H, W)."""
    if len(shape) != 4:
        raise ValueError(f"expected maps of shape (N, C, H, W), got {shape}")


def _checked_grids(grids: Grids) -> list[tuple[int, int]]:
    checked = [(int(bins_h), int(bins_w)) for bins_h, bins_w in grids]
    whole = all(tuple(grid) == ours for grid, ours in zip(grids, checked, strict=True))
    if not whole or not 1 <= len(checked) <= _MOST_GRIDS or min(map(min, checked)) < 1:
        raise ValueError(
            f"expected 1 to {_MOST_GRIDS} grids of at least 1 bin a side, got {list(grids)}"
        )
    return checked


def _check_scales(spatial_scale: float, score_scale: float, score_bias: float) -> None:
    if not 0 < spatial_scale < math.inf:
        raise ValueError(f"expected a finite spatial_scale above 0, got {spatial_scale}")
    if not math.isfinite(score_scale) or not math.isfinite(score_bias):
        raise ValueError(
            f"expected a finite score_scale and score_bias, got {score_scale} and {score_bias}"
        )


class _RoiPool(torch.autograd.Function):
    """The native path: float32 on the CPU or a GPU. The gradient has the memory format of maps."""

    @staticmethod
    def forward(ctx, maps, boxes, factors, grids, spatial_scale, wanted):
        _, channels, height, width = maps.shape
        pixels = maps.contiguous(memory_format=torch.channels_last)
        top = maps.new_empty(len(boxes), channels * sum(h * w for h, w in grids))
        # fits_16_bits in csrc/roi_pooling.h says the same
        index = torch.int16 if height * width < 2**16 else torch.int32
        winners = torch.empty_like(top, dtype=index) if wanted else None
        ctx.boxes = (len(boxes), spatial_scale, torch.tensor(grids), len(grids), *maps.shape)
        native.call("caffe_roi_pool_forward", pixels, boxes, factors, *ctx.boxes, top, winners)
        ctx.save_for_backward(winners, boxes, factors)
        ctx.maps_shape = maps.shape
        ctx.channels_last = pixels.data_ptr() == maps.data_ptr() and not maps.is_contiguous()
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx, top_diff):
        winners, boxes, factors = ctx.saved_tensors
        order = torch.channels_last if ctx.channels_last else torch.contiguous_format
        maps_diff = torch.empty(ctx.maps_shape, device=top_diff.device, memory_format=order)
        native.call(
            "caffe_roi_pool_backward",
            *(top_diff.contiguous(), winners, boxes, factors, *ctx.boxes),
            *(maps_diff, int(ctx.channels_last)),
        )
        return maps_diff, None, None, None, None, None


def roi_pyramid_pooling_reference(
    maps: torch.Tensor,
    boxes: torch.Tensor,
    factors: torch.Tensor,
    grids: Grids,
    spatial_scale: float,
) -> torch.Tensor:
    """The same in plain torch; boxes (R, 5) and factors (R) are checked, float32, on the CPU."""
    device = maps.device
    corners = boxes[:, 1:] * spatial_scale
    corners = (corners.trunc() + (corners.frac().abs() >= 0.5) * corners.sign()).long()
    image = boxes[:, 0].long().to(device)
    pixels = maps.flatten(2).transpose(1, 2)  # (N, H * W, C)
    channel = torch.arange(maps.shape[1], device=device)
    levels = []
    for bins_h, bins_w in grids:
        rows = _bin_spans(corners[:, 1], corners[:, 3], bins_h, maps.shape[2]).to(device)
        cols = _bin_spans(corners[:, 0], corners[:, 2], bins_w, maps.shape[3]).to(device)
        with torch.no_grad():
            place = _argmax(pixels, image, rows, cols, maps.shape[3])  # (R, bins_h, bins_w, C)
        taken = pixels[image[:, None, None, None], place.clamp(min=0), channel]
        level = torch.where(place >= 0, taken, 0) * factors.to(maps)[:, None, None, None]
        levels.append(level.permute(0, 3, 1, 2).flatten(1))
    return torch.cat(levels, 1)


def _bin_spans(lo: torch.Tensor, hi: torch.Tensor, bins: int, limit: int) -> torch.Tensor:
    """(R, bins, 2): first pixel of each bin and the one after its last, clipped to the map."""
    step = ((hi - lo + 1).clamp(min=1).float() / bins)[:, None]
    p = torch.arange(bins)
    spans = torch.stack([(p * step).floor(), ((p + 1) * step).ceil()], 2).long()
    return (spans + lo[:, None, None]).clamp(0, limit)


def _argmax(
    pixels: torch.Tensor, image: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor, width: int
) -> torch.Tensor:
    """(R, bins_h, bins_w, C): where on the map each bin's first maximum is; -1 in an empty bin.

    Walks all windows at once, one offset inside the window after the other.
    """
    top, left = rows[:, :, None, 0], cols[:, None, :, 0]
    height, length = rows[:, :, None, 1] - top, cols[:, None, :, 1] - left
    image = image[:, None, None]
    first = torch.where((height > 0) & (length > 0), top * width + left, -1)
    place = first[..., None].expand(*first.shape, pixels.shape[2])
    best = torch.full_like(place, -torch.inf, dtype=pixels.dtype)
    for dy in range(_largest(height)):
        for dx in range(_largest(length)):
            inside = (dy < height) & (dx < length)
            at = torch.where(inside, (top + dy) * width + left + dx, 0)
            value = pixels[image, at]
            wins = inside[..., None] & ((value > best) | value.isnan())
            best, place = torch.where(wins, value, best), torch.where(wins, at[..., None], place)
    return place


def _largest(lengths: torch.Tensor) -> int:
    return int(lengths.max()) if lengths.numel() else 0
