"""AbsVal: absolute values."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("AbsVal")
class AbsVal(Layer):
    """y = |x|.

    bottom: x, any shape. top: y, the same shape, y >= 0. The gradient at 0 is 0.
    Source: Caffe's AbsValLayer.
    """

    arithmetic = "any"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()
