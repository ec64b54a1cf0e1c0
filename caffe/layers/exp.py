"""Exp: a base to the power of x."""

import math

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Exp")
class Exp(Layer):
    """y = base ^ (shift + scale * x); base -1 stands for e.

    bottom: x, any shape. top: y, the same shape, y > 0.
    Source: Caffe's ExpLayer. Fails for a base that is not positive (and not -1).
    """

    def setup(self, _: Shape) -> None:
        base = self.layer_param.exp_param.base
        if base != -1 and base <= 0:
            self.fail(f"expected a positive base, or -1 for e, got {base}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.exp_param
        power = param.shift + param.scale * x
        return power.exp() if param.base == -1 else (power * math.log(param.base)).exp()
