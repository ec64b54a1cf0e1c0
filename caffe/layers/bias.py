"""Bias: add a learned or given blob along some axes."""

import torch

from caffe.axes import align, check_operand, operand_shape
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Bias")
class Bias(Layer):
    """y = x + b, b repeated along the axes that it lacks.

    bottoms: x (N...) and, unless b is learned, b with x's sizes from `axis` on.
    top: y, x's shape.
    blob: b with x's axes [axis, axis + num_axes) if there is one bottom (-1: all from `axis` on;
    0: one number).
    Raises CaffeError if the second bottom's shape does not fit. Source: Caffe's BiasLayer.
    """

    bottoms = (1, 2)

    def setup(self, bottom: Shape, *second: Shape) -> None:
        param = self.layer_param.bias_param
        if second:
            check_operand(self, param.axis, bottom, second[0])
        else:
            self.add_blob(operand_shape(self, param.axis, param.num_axes, bottom), param.filler)

    def forward(self, x: torch.Tensor, *second: torch.Tensor) -> torch.Tensor:
        (bias,) = second or self.weights
        return x + align(bias, self.layer_param.bias_param.axis, x)
