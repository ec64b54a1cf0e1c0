"""Scale: multiply by a learned or given blob along some axes."""

import torch

from caffe.axes import align, check_operand, operand_shape
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("Scale")
class Scale(Layer):
    """y = x * s (+ b), s and b repeated along the axes that they lack.

    bottoms: x (N...) and, unless s is learned, s with x's sizes from `axis` on.
    top: y, x's shape.
    blobs: s with x's axes [axis, axis + num_axes) if there is one bottom (-1: all from `axis` on;
    0: one number; 1 unless `filler` says otherwise); b, shaped as s, if `bias_term`.
    Raises CaffeError if the second bottom's shape does not fit. Source: Caffe's ScaleLayer.
    """

    bottoms = (1, 2)

    def setup(self, bottom: Shape, *second: Shape) -> None:
        param = self.layer_param.scale_param
        if second:
            shape = second[0]
            check_operand(self, param.axis, bottom, shape)
        else:
            shape = operand_shape(self, param.axis, param.num_axes, bottom)
            ones = caffe_pb2.FillerParameter(value=1)
            self.add_blob(shape, param.filler if param.HasField("filler") else ones)
        if param.bias_term:
            self.add_blob(shape, param.bias_filler)

    def forward(self, x: torch.Tensor, *second: torch.Tensor) -> torch.Tensor:
        axis = self.layer_param.scale_param.axis
        scale, *bias = [align(operand, axis, x) for operand in (*second, *self.weights)]
        return torch.addcmul(bias[0], x, scale) if bias else x * scale
