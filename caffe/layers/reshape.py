"""Reshape: the same numbers with other axes."""

import math

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Reshape")
class Reshape(Layer):
    """The axes [axis, axis + num_axes) of x replaced by `shape`.

    bottom: x, any shape. top: x's numbers in the same order. In `shape`, 0 copies the size of x's
    axis at that place and one -1 takes what is left; num_axes -1 means all axes up to the last one,
    and axis -1 the place behind it.
    Raises CaffeError if the counts do not agree. Source: Caffe's ReshapeLayer.
    """

    arithmetic = "any"

    def _span(self, dims: int) -> tuple[int, int]:
        """The first and last (not included) axis to replace."""
        param = self.layer_param.reshape_param
        start = param.axis if param.axis >= 0 else dims + param.axis + 1
        end = dims if param.num_axes == -1 else start + param.num_axes
        if param.num_axes < -1 or not 0 <= start <= end <= dims:
            self.fail(
                f"axis {param.axis} and num_axes {param.num_axes} reach beyond the bottom's "
                f"{dims} axes"
            )
        return start, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        old = tuple(x.shape)
        start, end = self._span(len(old))
        new = list(self.layer_param.reshape_param.shape.dim)
        if new.count(-1) > 1 or min(new, default=0) < -1:
            self.fail(f"expected sizes, 0, or a single -1 in shape, got {new}")
        for i, size in enumerate(new):
            if size == 0 and start + i >= len(old):
                self.fail(f"dim: 0 at place {i} of shape copies no axis of a bottom {old}")
            new[i] = size or old[start + i]
        replaced, given = list(old[start:end]), [size for size in new if size != -1]
        if -1 in new and 0 in given:  # a copied empty axis tells nothing about the size to find
            replaced, given = ([size or 1 for size in sizes] for sizes in (replaced, given))
        count, known = math.prod(replaced), math.prod(given)
        if count % known if -1 in new else count != known:
            self.fail(f"expected a shape of {count} numbers for the bottom {old}, got {new}")
        new = [count // known if size == -1 else size for size in new]
        return x.reshape((*old[:start], *new, *old[end:]))
