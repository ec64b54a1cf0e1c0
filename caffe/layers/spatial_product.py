"""SpatialProduct: every channel times one map."""

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("SpatialProduct")
class SpatialProduct(Layer):
    """y[n, c, h, w] = x[n, c, h, w] * s[n, 0, h, w].

    bottoms: x (N, C, H, W); s (N, 1, H, W), any numbers; both get a gradient. top: y, x's shape.
    Raises CaffeError if s has another shape. Source: the SpatialProductLayer of DeepLab and PSPNet.
    """

    bottoms = 2

    def setup(self, x: Shape, scale: Shape) -> None:
        if len(x) != 4 or scale != (x[0], 1, *x[2:]):
            self.fail(f"expected bottoms (N, C, H, W) and (N, 1, H, W), got {x} and {scale}")

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return x * scale
