"""Sigmoid: any number to (0, 1)."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Sigmoid")
class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)).

    bottom: x, any shape. top: y, the same shape, in (0, 1).
    Source: Caffe's SigmoidLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sigmoid()
