"""Concat: blobs one behind the other along an axis."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Concat")
class Concat(Layer):
    """The bottoms in order along `axis` (or along the older field `concat_dim`).

    bottoms: one or more that differ at most in the size of that axis. top: all of them.
    Raises CaffeError if other sizes differ or both fields are given. Source: Caffe's ConcatLayer.
    """

    bottoms = (1, None)
    arithmetic = "any"

    def setup(self, *bottoms: Shape) -> None:
        param = self.layer_param.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            self.fail("give axis or concat_dim, not both")
        axis = param.concat_dim if param.HasField("concat_dim") else param.axis
        self.axis = canonical_axis(self, axis, len(bottoms[0]))
        for i, shape in enumerate(bottoms):
            want = list(bottoms[0])
            want[self.axis] = shape[self.axis] if len(shape) == len(want) else -1
            if list(shape) != want:
                self.fail(
                    f"expected bottoms that differ on axis {self.axis} alone, got {bottoms[0]} "
                    f"and, as bottom {i}, {shape}"
                )

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        return torch.cat(bottoms, self.axis)
