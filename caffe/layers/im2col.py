"""Im2col: every window of a map as a column."""

import math

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register
from caffe.windows import window_field, windows


@register("Im2col")
class Im2col(Layer):
    """y[(c, k...), s'...] = x[c, s' stride - pad + k dilation...], zero outside the map.

    bottom: x (N..., C, S...), channels at `axis`. top: y (N..., C prod(kernel), S'...), sizes as in
    Convolution.
    Raises CaffeError if nothing lies behind the channels or the kernel does not fit.
    Source: Caffe's Im2colLayer.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.convolution_param
        self.axis = canonical_axis(self, param.axis, len(bottom))
        spatial = len(bottom) - self.axis - 1
        if spatial < 1:
            self.fail(f"expected axes behind axis {self.axis}, got a bottom {bottom}")
        self.kernel = window_field(self, param, "kernel_size", spatial, None)
        self.stride = window_field(self, param, "stride", spatial, 1)
        self.pad = window_field(self, param, "pad", spatial, 0)
        self.dilation = window_field(self, param, "dilation", spatial, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, spatial = self.axis + 1, len(self.kernel)
        columns = windows(x, self.kernel, self.stride, self.pad, self.dilation)
        # (N..., C, S'..., kernel...) to (N..., C, kernel..., S'...)
        places = list(range(first, first + spatial))
        cells = list(range(first + spatial, first + 2 * spatial))
        columns = columns.permute(*range(first), *cells, *places)
        channels = x.shape[self.axis] * math.prod(self.kernel)
        return columns.reshape(*x.shape[: self.axis], channels, *columns.shape[first + spatial :])
