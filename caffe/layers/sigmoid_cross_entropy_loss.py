"""SigmoidCrossEntropyLoss: cross-entropy of independent labels, from logits."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from caffe.layer import Layer
from caffe.loss import ignored, normalizer
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Layer):
    """loss = -(1/Z) sum [ y log p + (1-y) log(1-p) ], p = sigmoid(x), computed without overflow.

    bottoms: x (N, ...), any real numbers; y, as many numbers, in [0, 1], no gradient.
    top: loss (), >= 0. Z is N (BATCH_SIZE) unless loss_param says otherwise; where y equals
    `ignore_label` (after truncation to an integer) there is neither cost nor gradient.
    Source: BVLC Caffe's SigmoidCrossEntropyLossLayer.
    """

    bottoms = 2
    is_loss = True

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if x.numel() != target.numel():
            self.fail(f"expected as many targets as in {tuple(x.shape)}, got {tuple(target.shape)}")
        param, target = self.layer_param.loss_param, target.detach().reshape(x.shape)
        ignore = ignored(param)
        valid = torch.ones_like(x, dtype=torch.bool) if ignore is None else target.long() != ignore
        cost = binary_cross_entropy_with_logits(x, target, reduction="none")
        total = torch.where(valid, cost, 0).sum()
        return total / normalizer(param, caffe_pb2.LossParameter.BATCH_SIZE, x.shape[0], valid)
