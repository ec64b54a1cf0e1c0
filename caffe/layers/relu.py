"""ReLU: rectified linear units."""

import torch
from torch.nn.functional import leaky_relu, relu

from caffe.layer import Layer
from caffe.registry import register


@register("ReLU")
class ReLU(Layer):
    """y = max(0, x) + negative_slope * min(0, x).

    bottom: x, any shape. top: y, the same shape.
    Source: Caffe's ReLULayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.layer_param.relu_param.negative_slope
        return leaky_relu(x, slope) if slope else relu(x)
