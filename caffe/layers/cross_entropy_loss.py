"""CrossEntropyLoss: cross-entropy of independent labels, from probabilities."""

import torch

from caffe.layer import Layer
from caffe.loss import at_least
from caffe.registry import register

LEAST = 1e-4


@register("CrossEntropyLoss")
class CrossEntropyLoss(Layer):
    """loss = -(1/N) sum_n sum_k [ y log max(p, 1e-4) + (1-y) log max(1-p, 1e-4) ].

    bottoms: p (N, K), probabilities; y (N, K), 0 or 1 (or between), no gradient.
    top: loss (), >= 0. The gradient is -y / max(p, 1e-4) + (1-y) / max(1-p, 1e-4), over N, also
    where a probability was raised to 1e-4: a class that the net rules out can still come back.
    Source: WSDDN's loss as the authors' fork computes it.
    """

    bottoms = 2
    is_loss = True

    def forward(self, p: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if p.numel() != label.numel():
            self.fail(f"expected as many labels as in {tuple(p.shape)}, got {tuple(label.shape)}")
        y = label.detach().reshape(p.shape)
        gain = y * at_least(p, LEAST).log() + (1 - y) * at_least(1 - p, LEAST).log()
        return -gain.sum() / p.shape[0]
