"""The two distillation losses: weighted squared distances of rows, summed."""

import torch
from torch.autograd.function import once_differentiable

from caffe.ops import native
from caffe.ops.rois import check_shape, checked_rois


def feature_l2_loss(
    teacher: torch.Tensor, student: torch.Tensor, rois: torch.Tensor
) -> torch.Tensor:
    """1/(2N) sum_n 1/|R'_n| sum_{r in R'_n} |teacher_r - student_r|^2 -> ().

    teacher, student: (R, ...); rois (R, 5 or 6), of which the image index is read. N is the number
    of images that have a box, R'_n the boxes of image n. Without any box the loss is 0.
    Source: L_f of stage 1. rois get no gradient.
    Raises ValueError for shapes, types or devices that do not fit and, naming the row, for
    impossible rois (on a GPU later, see caffe.ops.rois).
    """
    check_pair(tuple(teacher.shape), tuple(student.shape))
    check_shape(tuple(rois.shape))
    check_rows(tuple(teacher.shape), len(rois))
    native.check_tensors({"teacher": teacher, "student": student})
    device = teacher.device if native.takes(teacher, student) else torch.device("cpu")
    images = checked_rois(rois, device)[:, 0]
    return _l2_loss(teacher, student, _box_weights(images))


def _box_weights(images: torch.Tensor) -> torch.Tensor:
    """1 / (N |R'_n|) of each box, from its image's index; NaN where that is NaN.

    `unique` would say the same, but the host would have to wait for a GPU to learn how many.
    """
    if not len(images):
        return images
    ordered, order = images.sort()
    starts = torch.ones_like(order)
    starts[1:] = ordered[1:] != ordered[:-1]
    image = starts.cumsum(0) - 1
    boxes = torch.zeros_like(images).index_add_(0, image, torch.ones_like(images))
    weights = torch.empty_like(images)
    weights[order] = 1.0 / ((image[-1] + 1) * boxes[image])
    return weights.where(~images.isnan(), torch.nan)


def prediction_l2_loss(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """1/(2N) sum_n |teacher_n - student_n|^2 -> ().

    teacher, student: (N, ...), probabilities. Source: L_p' of stage 2.
    Raises ValueError for shapes, types or devices that do not fit.
    """
    check_pair(tuple(teacher.shape), tuple(student.shape))
    native.check_tensors({"teacher": teacher, "student": student})
    weight = 1.0 / max(len(teacher), 1)
    return _l2_loss(teacher, student, teacher.new_full(teacher.shape[:1], weight))


def check_pair(teacher: tuple[int, ...], student: tuple[int, ...]) -> None:
    """Raises ValueError unless both shapes are the same (R, ...)."""
    if teacher != student or len(teacher) < 2:
        raise ValueError(
            f"expected teacher and student of the same shape (R, ...), got {teacher} and {student}"
        )


def check_rows(features: tuple[int, ...], boxes: int) -> None:
    """Raises ValueError unless there is one box per row of features."""
    if features[0] != boxes:
        raise ValueError(f"expected one row of rois per row of features, got {boxes}, {features}")


def _l2_loss(a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    a, b = a.flatten(1), b.flatten(1)
    if native.takes(a, b):
        return _L2Loss.apply(a, b, weights)
    return l2_loss_reference(a, b, weights)


class _L2Loss(torch.autograd.Function):
    """The native path: float32 on the CPU or a GPU."""

    @staticmethod
    def forward(ctx, a, b, weights):
        a, b = a.contiguous(), b.contiguous()
        ctx.save_for_backward(a, b, weights)
        distances = a.new_empty(len(a), dtype=torch.float64)
        native.call("caffe_l2_distances", a, b, *a.shape, distances)
        return ((weights * distances).sum() / 2).float()

    @staticmethod
    @once_differentiable
    def backward(ctx, top_diff):
        a, b, weights = ctx.saved_tensors
        diffs: list[torch.Tensor | None] = [None, None]
        for i, (mine, other) in enumerate(((a, b), (b, a))):
            if ctx.needs_input_grad[i]:
                diffs[i] = torch.empty_like(mine)
                scaled = weights * top_diff
                native.call("caffe_l2_gradient", mine, other, scaled, *mine.shape, diffs[i])
        return *diffs, None


def l2_loss_reference(a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """1/2 sum_r weights_r |a_r - b_r|^2 in plain torch, for a, b (R, D)."""
    return ((a - b).square().sum(1) * weights.to(a)).sum() / 2
