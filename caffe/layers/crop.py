"""Crop: a piece of a blob, of another blob's size."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Crop")
class Crop(Layer):
    """The piece of x that starts at `offset` and has the second bottom's size, from `axis` on.

    bottoms: x, any shape; a blob with as many axes, whose numbers do not matter.
    top: y, x's sizes before `axis`, the second bottom's from there on.
    `offset`: none (0), one for all axes from `axis` on, or one for each of them.
    Raises CaffeError if the piece does not lie inside x. Source: Caffe's CropLayer.
    """

    bottoms = 2
    arithmetic = "any"

    def setup(self, bottom: Shape, reference: Shape) -> None:
        param = self.layer_param.crop_param
        if len(bottom) != len(reference):
            self.fail(f"expected bottoms with as many axes, got {bottom} and {reference}")
        self.axis = canonical_axis(self, param.axis, len(bottom))
        count = len(bottom) - self.axis
        self.offsets = self.one_each(list(param.offset) or [0], count, "offset")

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        for axis, offset in enumerate(self.offsets, start=self.axis):
            size = reference.shape[axis]
            if offset + size > x.shape[axis]:
                self.fail(
                    f"expected at least {offset} + {size} on axis {axis}, got {x.shape[axis]}"
                )
            x = x.narrow(axis, offset, size)
        return x
