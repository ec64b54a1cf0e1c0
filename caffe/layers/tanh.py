"""TanH: hyperbolic tangent."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("TanH")
class TanH(Layer):
    """y = tanh(x).

    bottom: x, any shape. top: y, the same shape, -1 < y < 1.
    Source: Caffe's TanHLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh()
