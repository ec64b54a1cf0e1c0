"""ReLU: rectified linear units."""

import torch
from torch.nn.functional import leaky_relu, relu

from caffe.layer import Layer
from caffe.registry import register

# Layers whose backward pass does not read their own output, which may therefore be overwritten.
_FORGETFUL = (
    *("ConvolutionBackward0", "AddmmBackward0", "AddBackward0"),
    *("NativeBatchNormBackward0", "CudnnBatchNormBackward0", "CloneBackward0"),
)
# Their tops are memory of their own.
_COMPUTING = ("Convolution", "Deconvolution", "InnerProduct", "BN", "BatchNorm", "Eltwise")


@register("ReLU")
class ReLU(Layer):
    """y = max(0, x) + negative_slope * min(0, x).

    bottom: x, any shape. top: y, the same shape. In place (top = bottom) it overwrites what a
    convolution, a fully connected, normalising or adding layer computed, instead of taking memory
    of its own.
    Source: Caffe's ReLULayer.
    """

    arithmetic = "any"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.layer_param.relu_param.negative_slope
        if slope:
            return leaky_relu(x, slope)
        return relu(x, inplace=self._may_overwrite(x))

    def _may_overwrite(self, x: torch.Tensor) -> bool:
        if list(self.layer_param.top) != list(self.layer_param.bottom):
            return False
        if self.made_by not in _COMPUTING:
            return False
        return not x.requires_grad or (x.grad_fn is not None and x.grad_fn.name() in _FORGETFUL)
