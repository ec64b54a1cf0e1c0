"""The prediction-level distillation loss in numpy: the twin of the native `PredictionL2Loss`."""

import numpy as np

import caffe
from python_layers.feature_l2_loss import check_pair, l2_loss


class PredictionL2Loss(caffe.Layer):
    """1/(2N) sum_n |p^T_n - p^S_n|^2.

    bottoms: p^T, p^S (N, K), probabilities. top: (1); give the layer `loss_weight: 1`.
    Gradients to both. Raises ValueError for shapes that differ.
    """

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError(f"expected p^T and p^S, got {len(bottom)} bottom(s)")

    def reshape(self, bottom, top):
        check_pair(*bottom)
        top[0].reshape(1)

    def forward(self, bottom, top):
        images = bottom[0].shape[0]
        weights = np.full(images, 1.0 / max(images, 1), np.float32)
        top[0].data[0], self.diff = l2_loss(bottom[0].data, bottom[1].data, weights)

    def backward(self, top, propagate_down, bottom):
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff[0] * self.diff
