"""Axes as Caffe writes them: negative from the end, or a stretch that a second operand covers."""

import math

import torch

from caffe.layer import Layer, Shape


def canonical_axis(layer: Layer, axis: int, count: int) -> int:
    """`axis` of a blob with `count` axes, counted from the front.

    Raises CaffeError naming the layer if it is not in [-count, count).
    """
    if not -count <= axis < count:
        layer.fail(f"expected an axis in [{-count}, {count - 1}], got {axis}")
    return axis % count


def around(layer: Layer, axis: int, x: torch.Tensor) -> torch.Tensor:
    """x as (outer, C, inner), C being the size of `axis`."""
    axis = canonical_axis(layer, axis, x.dim())
    shape = tuple(x.shape)
    return x.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def operand_shape(layer: Layer, axis: int, num_axes: int, shape: Shape) -> Shape:
    """The axes [axis, axis + num_axes) of `shape`; num_axes -1 means all up to the last one.

    Raises CaffeError naming the layer if they reach beyond the end.
    """
    first = canonical_axis(layer, axis, len(shape))
    if num_axes == -1:
        return shape[first:]
    if num_axes < -1 or first + num_axes > len(shape):
        layer.fail(
            f"expected num_axes from -1 to {len(shape) - first} for axis {axis} of a bottom "
            f"{shape}, got {num_axes}"
        )
    return shape[first : first + num_axes]


def check_operand(layer: Layer, axis: int, shape: Shape, operand: Shape) -> None:
    """Raise CaffeError unless `operand` equals the axes of `shape` from `axis` on."""
    first = canonical_axis(layer, axis, len(shape)) if operand else 0
    if shape[first : first + len(operand)] != operand:
        layer.fail(
            f"expected a second bottom {shape[first : first + len(operand)]}, as axis {axis} of "
            f"the first bottom {shape} says, got {operand}"
        )


def align(operand: torch.Tensor, axis: int, x: torch.Tensor) -> torch.Tensor:
    """`operand` with axes of size 1 behind, so that it broadcasts from `axis` of x on."""
    behind = x.dim() - axis % x.dim() - operand.dim() if operand.dim() else 0
    return operand.reshape(operand.shape + (1,) * behind)
