"""MultinomialLogisticLoss: the label's negative log probability."""

import torch

from caffe.layer import Layer
from caffe.loss import at_least, class_indices
from caffe.registry import register


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(Layer):
    """loss = -1/N sum_n log max(p_n[y_n], 1e-20).

    bottoms: p (N, K...), probabilities, K = their count per row; y (N), class numbers 0 to K-1.
    top: loss (), >= 0. The gradient is -1/N / max(p, 1e-20), also where p was raised.
    Source: Caffe's MultinomialLogisticLossLayer; SoftmaxWithLoss does the same from logits, stably.
    """

    bottoms = 2
    is_loss = True

    def forward(self, p: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        rows = p.flatten(1)
        if label.numel() != p.shape[0]:
            self.fail(f"expected {p.shape[0]} labels, one for each row, got {tuple(label.shape)}")
        index, _ = class_indices(self, label.reshape(-1, 1), rows.shape[1])
        return -at_least(rows.gather(1, index), 1e-20).log().sum() / p.shape[0]
