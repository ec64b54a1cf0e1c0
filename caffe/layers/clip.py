"""Clip: numbers kept between two bounds."""

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Clip")
class Clip(Layer):
    """y = min(max(x, min), max).

    bottom: x, any shape. top: y, the same shape, min <= y <= max. The gradient passes where
    min <= x <= max.
    Source: BVLC Caffe's ClipLayer.
    """

    arithmetic = "any"

    def setup(self, _: Shape) -> None:
        param = self.layer_param.clip_param
        if not param.min <= param.max:
            self.fail(f"expected min <= max, got {param.min} and {param.max}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(self.layer_param.clip_param.min, self.layer_param.clip_param.max)
