"""SoftmaxWithLoss: multinomial logistic loss, from logits."""

import math

import numpy as np
import torch
from torch.nn.functional import log_softmax

from caffe.axes import around
from caffe.layer import Layer
from caffe.loss import at_least, class_indices, ignored, normalizer
from caffe.proto import caffe_pb2
from caffe.registry import register

LOG_TINY = math.log(np.finfo(np.float32).tiny)


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    """loss = -(1/Z) sum_i w[y_i] log p_i[y_i], p = softmax(x) over the C classes of `axis`.

    bottoms: x (N..., C, S...), any real numbers; y (N..., S...) or a shape of the same count, class
    numbers 0 to C-1 or `ignore_label` (no cost, no gradient).
    tops: loss (), >= 0; optionally p (N..., C, S...), without a gradient.
    Z counts the labels not ignored (VALID) unless loss_param says otherwise. w = `class_weighting`
    (C numbers) if `weight_by_label_freqs`, else 1; it does not enter Z. log p is kept at or above
    the logarithm of the smallest normal float; the gradient is p - [c = y] all the same.
    Source: BVLC Caffe's SoftmaxWithLossLayer; the weights are those of the authors' fork.
    """

    bottoms = 2
    tops = (1, 2)
    is_loss = True

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, ...]:
        param = self.layer_param.loss_param
        axis = self.layer_param.softmax_param.axis
        log_p = log_softmax(around(self, axis, x), dim=1)
        outer, classes, inner = log_p.shape
        if label.numel() != outer * inner:
            self.fail(
                f"expected {outer * inner} labels, one for each place of {tuple(x.shape)} "
                f"outside axis {axis}, got {tuple(label.shape)}"
            )
        index, valid = class_indices(self, label.reshape(outer, inner), classes, ignored(param))
        cost = -at_least(log_p.gather(1, index.unsqueeze(1)).squeeze(1), LOG_TINY)
        if param.weight_by_label_freqs:
            if len(param.class_weighting) != classes:
                self.fail(f"expected {classes} class_weighting, got {len(param.class_weighting)}")
            cost = cost * cost.new_tensor(list(param.class_weighting))[index]
        total = torch.where(valid, cost, 0).sum()
        loss = total / normalizer(param, caffe_pb2.LossParameter.VALID, outer, valid)
        if len(self.layer_param.top) == 1:
            return (loss,)
        return loss, log_p.detach().exp().reshape(x.shape)
