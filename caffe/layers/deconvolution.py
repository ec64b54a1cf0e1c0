"""Deconvolution: the transpose of a convolution, for learned upsampling."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn import functional

from caffe import convolutions
from caffe.layer import Shape
from caffe.layers.convolution import Convolution
from caffe.registry import register


@register("Deconvolution")
class Deconvolution(Convolution):
    """Each number of x puts a copy of the filters, weighted with it, into y.

    bottoms and tops as in Convolution, with
    S' = stride (S - 1) + dilation (kernel - 1) + 1 - 2 pad.
    blobs: W (C, num_output / group, kernel...); b (num_output) if `bias_term`.
    Source: Caffe's DeconvolutionLayer.
    """

    operators: ClassVar[dict[int, Callable[..., torch.Tensor]]] = {
        1: functional.conv_transpose1d,
        2: functional.conv_transpose2d,
        3: functional.conv_transpose3d,
    }
    general = staticmethod(convolutions.deconvolve)

    def filters(self, channels: int, outputs: int) -> Shape:
        return channels, outputs // self.layer_param.convolution_param.group

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        group = self.layer_param.convolution_param.group
        return self.operator(x, weight, bias, self.stride, self.pad, 0, group, self.dilation)
