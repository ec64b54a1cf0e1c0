"""Power: a scaled and shifted input to a power."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Power")
class Power(Layer):
    """y = (shift + scale * x) ^ power.

    bottom: x, any shape. top: y, the same shape; no gradient for scale 0.
    Source: Caffe's PowerLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.power_param
        if param.scale == 0:  # autograd would make 0 * infinity of some gradients
            x = x.detach()
        linear = x * param.scale + param.shift
        return linear if param.power == 1 else linear.pow(param.power)
