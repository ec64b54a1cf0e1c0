"""FeatureL2Loss: how far the student's region features are from the teacher's."""

import torch

from caffe.layer import Layer, Shape
from caffe.ops.l2_loss import check_pair, check_rows, feature_l2_loss
from caffe.ops.rois import check_shape
from caffe.registry import register


@register("FeatureL2Loss")
class FeatureL2Loss(Layer):
    """L_f = 1/(2N) sum_n 1/|R'_n| sum_{r in R'_n} |F^T_r - F^S_r|^2.

    bottoms: F^T, F^S (R, ...); rois (R, 6) or (R, 5), of which the image index is read. N is the
    number of images that have a box, R'_n the boxes of image n. Without any box the loss is 0.
    top: (). Gradients to both F, none to rois.
    Raises CaffeError naming the row of an impossible box. Source: L_f of stage 1 (MLIC slides).
    """

    bottoms = 3
    is_loss = True

    def top_shapes(self, teacher: Shape, student: Shape, rois: Shape) -> list[Shape]:
        check_pair(teacher, student)
        check_shape(rois)
        check_rows(teacher, rois[0])
        return [()]

    def forward(
        self, teacher: torch.Tensor, student: torch.Tensor, rois: torch.Tensor
    ) -> torch.Tensor:
        return feature_l2_loss(teacher, student, rois)
