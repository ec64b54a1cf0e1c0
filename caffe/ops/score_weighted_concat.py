"""Concatenation of each box's features, weighted with the box's score."""

from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable

from caffe.blob import checked_shape
from caffe.ops import native
from caffe.ops.rois import check_shape, checked_rois


def score_weighted_concat(features: Sequence[torch.Tensor], rois: torch.Tensor) -> torch.Tensor:
    """Row r: s'_r * [features_1[r], features_2[r], ...], each flattened.

    features: each (R, ...); rois (R, 6), of which the score s' is read. -> (R, D), D the sum of the
    features' numbers per box. rois get no gradient.
    Source: the F_R' of stage 1, "concat over R of s'_R * roi_pool(F; R)".
    Raises ValueError for rows, types or devices that do not agree and, naming the row, for
    impossible rois (on a GPU later, see caffe.ops.rois).
    """
    check_shape(tuple(rois.shape), columns=(6,))
    check_features([tuple(feature.shape) for feature in features], len(rois))
    native.check_tensors({f"features {i}": feature for i, feature in enumerate(features, 1)})
    flat = [feature.flatten(1) for feature in features]
    checked_shape((len(rois), sum(feature.shape[1] for feature in flat)))
    ours = native.takes(*flat)
    device = flat[0].device if ours else torch.device("cpu")
    scores = checked_rois(rois, device, columns=(6,))[:, 5].contiguous()
    if ours:
        return _ScoreWeightedConcat.apply(scores, *flat)
    return score_weighted_concat_reference(flat, scores)


def check_features(shapes: Sequence[tuple[int, ...]], boxes: int) -> None:
    """Raises ValueError unless there are shapes and every one is (boxes, ...)."""
    if not shapes:
        raise ValueError("expected at least one tensor of features")
    for i, shape in enumerate(shapes, 1):
        if len(shape) < 2 or shape[0] != boxes:
            raise ValueError(
                f"features {i}: expected shape ({boxes}, ...), one row per row of rois, got {shape}"
            )


class _ScoreWeightedConcat(torch.autograd.Function):
    """The native path: float32 on the CPU or a GPU."""

    @staticmethod
    def forward(ctx, scores, *features):
        ctx.widths = [feature.shape[1] for feature in features]
        ctx.save_for_backward(scores)
        boxes, total = len(scores), sum(ctx.widths)
        top = features[0].new_empty(boxes, total)
        for feature, column in zip(features, top.split(ctx.widths, 1), strict=True):
            rows, width = feature.contiguous(), feature.shape[1]
            native.call("caffe_weigh_rows", rows, width, scores, boxes, width, column, total)
        return top

    @staticmethod
    @once_differentiable
    def backward(ctx, top_diff):
        (scores,) = ctx.saved_tensors
        boxes, total = top_diff.shape
        diffs = []
        for column in top_diff.contiguous().split(ctx.widths, 1):
            width = column.shape[1]
            diffs.append(column.new_empty(boxes, width))
            native.call("caffe_weigh_rows", column, total, scores, boxes, width, diffs[-1], width)
        return None, *diffs


def score_weighted_concat_reference(
    features: Sequence[torch.Tensor], scores: torch.Tensor
) -> torch.Tensor:
    """score_weighted_concat in plain torch: features (R, D_i) and scores (R) are checked."""
    return torch.cat([feature * scores.to(feature)[:, None] for feature in features], 1)
