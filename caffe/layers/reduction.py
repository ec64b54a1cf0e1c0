"""Reduction: the trailing axes to one number."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("Reduction")
class Reduction(Layer):
    """y = coeff * sum x (SUM), sum |x| (ASUM), sum x^2 (SUMSQ) or mean x (MEAN).

    bottom: x (N..., D...), split at `axis`. top: y (N...), a single number for axis 0.
    Source: Caffe's ReductionLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.reduction_param
        rows = x.flatten(canonical_axis(self, param.axis, x.dim()))
        if param.operation == caffe_pb2.ReductionParameter.MEAN:
            return rows.mean(-1) * param.coeff
        if param.operation == caffe_pb2.ReductionParameter.ASUM:
            rows = rows.abs()
        elif param.operation == caffe_pb2.ReductionParameter.SUMSQ:
            rows = rows.square()
        return rows.sum(-1) * param.coeff
