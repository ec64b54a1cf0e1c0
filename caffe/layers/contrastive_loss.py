"""ContrastiveLoss: similar pairs together, others apart."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("ContrastiveLoss")
class ContrastiveLoss(Layer):
    """loss = 1/(2N) sum_n [ y d^2 + (1-y) max(margin - d, 0)^2 ], d = ||a_n - b_n||.

    bottoms: a (N, C) and b (N, C), or with axes of size 1 behind; y (N), 0 for a dissimilar pair,
    anything else for a similar one; no gradient for y. top: loss (), >= 0.
    `legacy_version`: max(margin - d^2, 0) for the dissimilar pairs.
    The gradient of d is (a - b) / (d + 1e-4), which stays finite at d = 0.
    Source: Caffe's ContrastiveLossLayer; Hadsell et al., CVPR 2006.
    """

    bottoms = 3
    is_loss = True

    def forward(self, a: torch.Tensor, b: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        count, param = a.shape[0], self.layer_param.contrastive_loss_param
        if a.shape != b.shape or a.numel() != a.shape[:2].numel() or label.numel() != count:
            shapes = [tuple(bottom.shape) for bottom in (a, b, label)]
            self.fail(f"expected bottoms (N, C), (N, C) and (N), got {shapes}")
        square = (a - b).flatten(1).square().sum(dim=1)
        if param.legacy_version:
            apart = (param.margin - square).relu()
        else:
            apart = (param.margin - _root(square)).relu().square()
        similar = label.reshape(-1).long() != 0
        return torch.where(similar, square, apart).sum() / (2 * count)


def _root(square: torch.Tensor) -> torch.Tensor:
    """sqrt(square), whose derivative is 1 / (2 (sqrt(square) + 1e-4))."""
    root = square.detach().sqrt()
    return root + (square - square.detach()) / (2 * (root + 1e-4))
