"""Dropout: random zeros in training."""

import torch
from torch.nn.functional import dropout

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("Dropout")
class Dropout(Layer):
    """TRAIN: y = x m / (1 - r), each m 0 with probability r = `dropout_ratio`; TEST: y = x.

    bottom: x, any shape. top: y, the same shape.
    Raises CaffeError unless 0 <= r < 1. Source: Caffe's DropoutLayer.
    """

    arithmetic = "any"

    def setup(self, bottom: Shape) -> None:
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            self.fail(f"expected a dropout_ratio from 0 to below 1, got {self.ratio:g}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.ratio) if self.phase == caffe_pb2.TRAIN else x.clone()
