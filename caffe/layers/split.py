"""Split: one blob for several readers."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Split")
class Split(Layer):
    """y_i = x for every top i; the gradients of all tops add up in the bottom.

    bottom: x, any shape. tops: at least one, each of x's shape.
    Source: Caffe's SplitLayer, which nets get automatically (see caffe/graph.py).
    """

    tops = (1, None)
    arithmetic = "any"

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(x.view_as(x) for _ in self.layer_param.top)
