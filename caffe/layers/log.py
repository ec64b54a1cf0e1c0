"""Log: the logarithm of x."""

import math

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Log")
class Log(Layer):
    """y = log_base(shift + scale * x); base -1 stands for e.

    bottom: x, any shape. top: y, the same shape; shift + scale * x must be positive.
    Source: Caffe's LogLayer. Fails for a base that is 1 or not positive (and not -1).
    """

    def setup(self, _: Shape) -> None:
        base = self.layer_param.log_param.base
        if base != -1 and (base <= 0 or base == 1):
            self.fail(f"expected a positive base other than 1, or -1 for e, got {base}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.log_param
        y = (param.shift + param.scale * x).log()
        return y if param.base == -1 else y / math.log(param.base)
