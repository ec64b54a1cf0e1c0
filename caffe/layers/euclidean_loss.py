"""EuclideanLoss: half the mean squared distance."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("EuclideanLoss")
class EuclideanLoss(Layer):
    """loss = 1/(2N) sum_n ||a_n - b_n||^2.

    bottoms: a (N, ...) and b (N, ...) of the same count; both get a gradient.
    top: loss (), >= 0.
    Source: Caffe's EuclideanLossLayer.
    """

    bottoms = 2
    is_loss = True

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.shape[:1] != b.shape[:1] or a.numel() != b.numel():
            self.fail(
                f"expected two bottoms of one size, got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        return (a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])
