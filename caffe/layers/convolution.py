"""Convolution: a bank of learned filters slid over the spatial axes."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn import functional

from caffe import convolutions
from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register
from caffe.windows import window_field


@register("Convolution")
class Convolution(Layer):
    """y[o] = b[o] + sum_c x[c] (correlated with) W[o, c], in `group` separate channel groups.

    bottoms: x (N..., C, S...), channels at `axis`, then any number of spatial axes; several bottoms
    of one shape share the weights. tops: one per bottom, y (N..., num_output, S'...) with
    S' = floor((S + 2 pad - dilation (kernel - 1) - 1) / stride) + 1.
    blobs: W (num_output, C / group, kernel...); b (num_output) if `bias_term`.
    `engine` and `force_nd_im2col` do not change the result.
    Raises CaffeError if channels and outputs do not divide into groups, or bottoms differ.
    Source: Caffe's ConvolutionLayer.
    """

    bottoms = (1, None)
    tops = (1, None)
    arithmetic = "low"
    operators: ClassVar[dict[int, Callable[..., torch.Tensor]]] = {
        1: functional.conv1d,
        2: functional.conv2d,
        3: functional.conv3d,
    }
    general: ClassVar[Callable[..., torch.Tensor]] = staticmethod(convolutions.convolve)

    def setup(self, *bottoms: Shape) -> None:
        param = self.layer_param.convolution_param
        if len(self.layer_param.top) != len(bottoms) or len(set(bottoms)) != 1:
            self.fail(f"expected one top for each bottom, bottoms of one shape, got {bottoms}")
        self.axis = canonical_axis(self, param.axis, len(bottoms[0]))
        channels, spatial = bottoms[0][self.axis], len(bottoms[0]) - self.axis - 1
        if not param.num_output:
            self.fail("convolution_param.num_output must be given")
        if param.group < 1 or channels % param.group or param.num_output % param.group:
            self.fail(
                f"expected channels and num_output to be multiples of group {param.group}, "
                f"got {channels} and {param.num_output}"
            )
        kernel = window_field(self, param, "kernel_size", spatial, None)
        self.stride = window_field(self, param, "stride", spatial, 1)
        self.pad = window_field(self, param, "pad", spatial, 0)
        self.dilation = window_field(self, param, "dilation", spatial, 1)
        self.operator = self.operators.get(spatial, self.general)
        self.add_blob((*self.filters(channels, param.num_output), *kernel), param.weight_filler)
        if spatial == 2:
            self.blobs[0].prefer(torch.channels_last)
        if param.bias_term:
            self.add_blob((param.num_output,), param.bias_filler)

    def filters(self, channels: int, outputs: int) -> Shape:
        """The first two axes of W."""
        return outputs, channels // self.layer_param.convolution_param.group

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """One bottom (N, C, S...) to one top.

        On a CPU in channels-last memory, which its tops and the layers behind inherit: a training
        step of the demo's student takes two thirds of the processor time there. PyTorch 2.13's
        backward pass of strided 1x1 filters writes beyond its memory there, so they get what they
        see, with stride 1.
        """
        group, stride = self.layer_param.convolution_param.group, self.stride
        if x.dim() == 4 and x.device.type == "cpu":
            if not any(self.pad) and all(size == 1 for size in weight.shape[2:]):
                x, stride = x[:, :, :: stride[0], :: stride[1]], (1, 1)
            x = x.contiguous(memory_format=torch.channels_last)
        return self.operator(x, weight, bias, stride, self.pad, self.dilation, group)

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weight, *rest = self.weights
        bias = rest[0].flatten() if rest else None  # programs reshape it: its count matters
        if self.axis == 1:
            return tuple(self.convolve(x, weight, bias) for x in bottoms)
        outer, inner = bottoms[0].shape[: self.axis], bottoms[0].shape[self.axis :]
        rows = [x.reshape(math.prod(outer), *inner) for x in bottoms]
        tops = [self.convolve(x, weight, bias) for x in rows]
        return tuple(top.reshape(*outer, *top.shape[1:]) for top in tops)
