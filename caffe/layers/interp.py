"""Interp: bilinear resizing that keeps the corners."""

import torch
from torch.nn.functional import interpolate, pad

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Interp")
class Interp(Layer):
    """Bilinear interpolation; the corner pixels of x are the corner pixels of y.

    bottom: x (N, C, H, W), of which -pad_beg rows and columns in front and -pad_end behind are cut
    off first, which leaves h rows. top: y (N, C, H', W'), where H' (and W' likewise) is
    (h - 1) / shrink_factor + 1, rounded down, with `shrink_factor` alone;
    h + (h - 1) (zoom_factor - 1) with `zoom_factor` alone; else `height`; and with both factors and
    no height, shrunk and then zoomed.
    Raises CaffeError if no size is given, a pad is positive or nothing is left to resize.
    Source: the InterpLayer of DeepLab and PSPNet.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.interp_param
        if len(bottom) != 4:
            self.fail(f"expected a bottom (N, C, H, W), got {bottom}")
        factors = param.HasField("shrink_factor") or param.HasField("zoom_factor")
        if not factors and not (param.HasField("height") and param.HasField("width")):
            self.fail("give height and width, or shrink_factor, or zoom_factor")
        if min(param.shrink_factor, param.zoom_factor) < 1:
            self.fail("expected shrink_factor and zoom_factor of at least 1")
        if max(param.pad_beg, param.pad_end) > 0:
            self.fail(
                f"expected pad_beg and pad_end of at most 0 (they cut), got {param.pad_beg} "
                f"and {param.pad_end}"
            )

    def _size(self, rest: Shape) -> Shape:
        param = self.layer_param.interp_param
        shrink, zoom = param.HasField("shrink_factor"), param.HasField("zoom_factor")
        if param.HasField("height") and param.HasField("width") and shrink == zoom:
            return param.height, param.width
        shrunk = [(size - 1) // param.shrink_factor + 1 for size in rest]
        return tuple(size + (size - 1) * (param.zoom_factor - 1) for size in shrunk)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.interp_param
        cut = param.pad_beg + param.pad_end
        rest = (x.shape[2] + cut, x.shape[3] + cut)
        size = self._size(rest)
        if min(*rest, *size) < 1:
            self.fail(f"expected at least one pixel, got {rest} to resize to {size}")
        x = pad(x, [param.pad_beg, param.pad_end] * 2) if cut else x
        return interpolate(x, size, mode="bilinear", align_corners=True)
