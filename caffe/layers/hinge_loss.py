"""HingeLoss: one-versus-all hinge loss."""

import torch

from caffe.layer import Layer
from caffe.loss import class_indices
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("HingeLoss")
class HingeLoss(Layer):
    """loss = 1/N sum_n sum_k max(0, 1 - d_nk * x_nk) ^ p, d_nk = 1 if k = y_n, else -1.

    bottoms: x (N, K...), any real numbers, K = their count per row; y (N), class numbers 0 to K-1.
    top: loss (), >= 0. norm: L1 (p = 1) or L2 (p = 2).
    Source: Caffe's HingeLossLayer.
    """

    bottoms = 2
    is_loss = True

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1)
        if label.numel() != x.shape[0]:
            self.fail(f"expected {x.shape[0]} labels, one for each row, got {tuple(label.shape)}")
        index, _ = class_indices(self, label.reshape(-1, 1), rows.shape[1])
        own = index == torch.arange(rows.shape[1], device=rows.device)
        margin = (1 + torch.where(own, -rows, rows)).relu()
        if self.layer_param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margin = margin.square()
        return margin.sum() / x.shape[0]
