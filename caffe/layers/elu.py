"""ELU: exponential linear units."""

import torch
from torch.nn.functional import elu

from caffe.layer import Layer
from caffe.registry import register


@register("ELU")
class ELU(Layer):
    """y = x for x > 0, alpha * (exp(x) - 1) elsewhere.

    bottom: x, any shape. top: y, the same shape, y > -alpha.
    Source: Caffe's ELULayer; Clevert et al., arXiv:1511.07289.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return elu(x, self.layer_param.elu_param.alpha)
