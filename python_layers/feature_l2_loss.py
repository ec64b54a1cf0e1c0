"""The feature-level distillation loss in numpy: the twin of the native layer `FeatureL2Loss`."""

import numpy as np

import caffe
from python_layers.roi_pooling import checked_rois


def check_pair(teacher, student):
    """Raises ValueError unless both blobs have the same shape (R, ...)."""
    if tuple(teacher.shape) != tuple(student.shape) or len(teacher.shape) < 2:
        raise ValueError(
            f"expected teacher and student of the same shape (R, ...), got {tuple(teacher.shape)} "
            f"and {tuple(student.shape)}"
        )


def l2_loss(teacher, student, weights):
    """1/2 sum_r weights_r |teacher_r - student_r|^2, and its gradient to the teacher's rows."""
    shape = (len(weights),) + (1,) * (teacher.ndim - 1)
    difference = teacher - student
    diff = difference * weights.reshape(shape)
    return 0.5 * np.sum(diff * difference, dtype=np.float64), diff


class FeatureL2Loss(caffe.Layer):
    """1/(2N) sum_n 1/|R'_n| sum_{r in R'_n} |F^T_r - F^S_r|^2.

    bottoms: F^T, F^S (R, ...); rois (R, 5 or 6), of which the image index is read. N is the number
    of images that have a box, R'_n the boxes of image n. Without any box the loss is 0.
    top: (1); give the layer `loss_weight: 1`. Gradients to both F, none to rois.
    Raises ValueError for shapes that differ or the row of an impossible box.
    """

    def setup(self, bottom, top):
        if len(bottom) != 3:
            raise ValueError(f"expected F^T, F^S and rois, got {len(bottom)} bottom(s)")

    def reshape(self, bottom, top):
        check_pair(*bottom[:2])
        if bottom[2].shape[0] != bottom[0].shape[0]:
            raise ValueError(
                f"expected one row of rois per row of features, got {bottom[2].shape[0]}, "
                f"{tuple(bottom[0].shape)}"
            )
        top[0].reshape(1)

    def forward(self, bottom, top):
        rois = checked_rois(bottom[2].data)
        _, image, boxes = np.unique(rois[:, 0], return_inverse=True, return_counts=True)
        weights = (1.0 / (max(len(boxes), 1) * boxes[image])).astype(np.float32)
        top[0].data[0], self.diff = l2_loss(bottom[0].data, bottom[1].data, weights)

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff[0] * self.diff
