"""Swish: x times its sigmoid."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Swish")
class Swish(Layer):
    """y = x * sigmoid(beta * x).

    bottom: x, any shape. top: y, the same shape.
    Source: BVLC Caffe's SwishLayer; Ramachandran et al., arXiv:1710.05941.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.layer_param.swish_param.beta * x).sigmoid()
