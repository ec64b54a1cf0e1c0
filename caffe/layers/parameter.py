"""Parameter: a learned blob as a top."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Parameter")
class Parameter(Layer):
    """y = w, a learned blob that other layers read.

    bottoms: none. top: y (parameter_param.shape). blob: w, the same shape, zeros at first.
    Source: BVLC Caffe's ParameterLayer.
    """

    bottoms = 0

    def setup(self) -> None:
        if not self.layer_param.parameter_param.HasField("shape"):
            self.fail("parameter_param.shape must be given")
        self.add_blob(tuple(self.layer_param.parameter_param.shape.dim))

    def forward(self) -> torch.Tensor:
        (weight,) = self.weights
        return weight.view_as(weight)
