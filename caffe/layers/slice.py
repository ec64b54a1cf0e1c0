"""Slice: a blob cut into several along an axis."""

from itertools import pairwise

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Slice")
class Slice(Layer):
    """x cut along `axis` (or along the older field `slice_dim`) before each `slice_point`.

    bottom: x, any shape. tops: the pieces in order, the last maybe empty; equal ones if no points
    are given.
    Raises CaffeError if points and tops do not fit or both axis fields are given.
    Source: Caffe's SliceLayer.
    """

    tops = (1, None)
    arithmetic = "any"

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            self.fail("give axis or slice_dim, not both")
        axis = param.slice_dim if param.HasField("slice_dim") else param.axis
        self.axis = canonical_axis(self, axis, len(bottom))
        if param.slice_point and len(param.slice_point) != len(self.layer_param.top) - 1:
            self.fail(
                f"expected 0 or {len(self.layer_param.top) - 1} slice_point for "
                f"{len(self.layer_param.top)} tops, got {len(param.slice_point)}"
            )

    def _sizes(self, length: int) -> list[int]:
        tops, points = len(self.layer_param.top), list(self.layer_param.slice_param.slice_point)
        if not points:
            if length % tops:
                self.fail(f"expected a multiple of {tops} on axis {self.axis}, got {length}")
            return [length // tops] * tops
        edges = [0, *points, length]
        sizes = [end - start for start, end in pairwise(edges)]
        if min(sizes[:-1]) < 1 or sizes[-1] < 0:
            self.fail(f"expected rising slice_point from 1 to {length}, got {points}")
        return sizes

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.split(self._sizes(x.shape[self.axis]), self.axis)
