"""BNLL: binomial normal log likelihood."""

import torch
from torch.nn.functional import softplus

from caffe.layer import Layer
from caffe.registry import register


@register("BNLL")
class BNLL(Layer):
    """y = log(1 + exp(x)), without overflow.

    bottom: x, any shape. top: y, the same shape, y > 0.
    Source: Caffe's BNLLLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return softplus(x)
