"""Threshold: which numbers are above a threshold."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Threshold")
class Threshold(Layer):
    """y = 1 where x > threshold, 0 elsewhere.

    bottom: x, any shape. top: y, the same shape; no gradient.
    Source: Caffe's ThresholdLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > self.layer_param.threshold_param.threshold).to(x.dtype)
