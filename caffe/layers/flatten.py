"""Flatten: several axes to one."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer
from caffe.registry import register


@register("Flatten")
class Flatten(Layer):
    """The axes `axis` to `end_axis` (included) become one.

    bottom: x, any shape. top: x's numbers in the same order.
    Source: Caffe's FlattenLayer.
    """

    arithmetic = "any"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.flatten_param
        start = canonical_axis(self, param.axis, x.dim())
        end = canonical_axis(self, param.end_axis, x.dim())
        if start > end:
            self.fail(f"expected axis <= end_axis, got {start} and {end}")
        return x.flatten(start, end)
