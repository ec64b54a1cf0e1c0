"""PredictionL2Loss: how far the student's predictions are from the teacher's."""

import torch

from caffe.layer import Layer, Shape
from caffe.ops.l2_loss import check_pair, prediction_l2_loss
from caffe.registry import register


@register("PredictionL2Loss")
class PredictionL2Loss(Layer):
    """L_p' = 1/(2N) sum_n |p^T_n - p^S_n|^2.

    bottoms: p^T, p^S (N, K), probabilities. top: (). Gradients to both.
    Source: L_p' of stage 2 (MLIC slides).
    """

    bottoms = 2
    is_loss = True

    def top_shapes(self, teacher: Shape, student: Shape) -> list[Shape]:
        check_pair(teacher, student)
        return [()]

    def forward(self, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return prediction_l2_loss(teacher, student)
