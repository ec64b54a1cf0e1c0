"""RoI max pooling, over one grid of bins per box or over several."""

from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable

from caffe.ops import native
from caffe.ops.rois import checked_rois

Grids = Sequence[tuple[int, int]]


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
    Raises ValueError for shapes that do not fit and, naming the row, for impossible rois.
    """
    check_maps(tuple(maps.shape))
    rows = checked_rois(rois, images=maps.shape[0])
    factors = torch.ones(len(rows)) if rows.shape[1] == 5 else rows[:, 5] * score_scale + score_bias
    boxes = rows[:, :5].contiguous()
    if native.takes(maps):
        wanted = maps.requires_grad and torch.is_grad_enabled()
        return _RoiPool.apply(maps, boxes, factors, torch.tensor(grids), spatial_scale, wanted)
    return roi_pyramid_pooling_reference(maps, boxes, factors, grids, spatial_scale)


def check_maps(shape: tuple[int, ...]) -> None:
    """Raises ValueError if `shape` is not (N, C, H, W)."""
    if len(shape) != 4:
        raise ValueError(f"expected maps of shape (N, C, H, W), got {shape}")


class _RoiPool(torch.autograd.Function):
    """The native path: float32 on the CPU."""

    @staticmethod
    def forward(ctx, maps, boxes, factors, grids, spatial_scale, wanted):
        _, channels, height, width = maps.shape
        pixels = maps.contiguous(memory_format=torch.channels_last)
        top = maps.new_empty(len(boxes), channels * int(grids.prod(1).sum()))
        argmax = torch.empty_like(top, dtype=torch.int32) if wanted else None
        native.call(
            "caffe_roi_pool_forward",
            *(pixels, channels, height, width, boxes, factors, len(boxes)),
            *(grids, len(grids), float(spatial_scale), top, argmax),
        )
        ctx.save_for_backward(argmax, boxes, factors, grids)
        ctx.maps_shape = maps.shape
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx, top_diff):
        argmax, boxes, factors, grids = ctx.saved_tensors
        _, channels, height, width = ctx.maps_shape
        maps_diff = top_diff.new_zeros(ctx.maps_shape)
        native.call(
            "caffe_roi_pool_backward",
            *(top_diff.contiguous(), argmax, boxes, factors, len(boxes)),
            *(grids, len(grids), channels, height * width, maps_diff),
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
