"""Softmax: positive numbers that add up to 1 along an axis."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer
from caffe.registry import register


@register("Softmax")
class Softmax(Layer):
    """y_k = exp(x_k) / sum_j exp(x_j) along `axis`.

    bottom: x, any shape. top: y, the same shape, in (0, 1).
    Source: Caffe's SoftmaxLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.softmax(canonical_axis(self, self.layer_param.softmax_param.axis, x.dim()))
