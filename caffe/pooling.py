"""Pooling with Caffe's rules for output size, padding and divisor, for Pooling and SPP."""

import math
from typing import NamedTuple

import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad, unfold

from caffe.proto import caffe_pb2


class Window(NamedTuple):
    """Rows and columns of a pooling window, of its steps and of the border around the map."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    floor: bool = False

    def output(self, x: torch.Tensor) -> tuple[int, int]:
        """Rows and columns of the pooled map.

        ceil((S + 2 pad - kernel) / stride) + 1 (or floor); with padding, a last window that would
        start behind the map and its first border is dropped.
        """
        rounded = math.floor if self.floor else math.ceil
        sizes = []
        for size, k, s, p in zip(x.shape[2:], self.kernel, self.stride, self.pad, strict=True):
            count = rounded((size + 2 * p - k) / s) + 1
            sizes.append(count - 1 if any(self.pad) and (count - 1) * s >= size + p else count)
        return sizes[0], sizes[1]

    def borders(self, x: torch.Tensor) -> list[int]:
        """Left, right, top, bottom border that makes every window whole."""
        left_right_top_bottom: list[int] = []
        for axis in (1, 0):
            end = (self.output(x)[axis] - 1) * self.stride[axis] + self.kernel[axis]
            after = max(0, end - x.shape[2 + axis] - self.pad[axis])
            left_right_top_bottom += [self.pad[axis], after]
        return left_right_top_bottom

    def cells(self, x: torch.Tensor) -> torch.Tensor:
        """How many cells of the map and its borders of `pad` each window has, (H', W')."""
        lengths = []
        for axis, count in enumerate(self.output(x)):
            start = torch.arange(count) * self.stride[axis]
            end = (start + self.kernel[axis]).clamp(max=x.shape[2 + axis] + 2 * self.pad[axis])
            lengths.append(end - start)
        return lengths[0][:, None] * lengths[1]

    def is_native(self, x: torch.Tensor) -> bool:
        """Whether PyTorch's own padding gives the same windows.

        It refuses a border of more than half the kernel, and drops every last window that starts
        behind the map.
        """
        counts = self.output(x)
        return all(
            2 * p <= k and (count - 1) * s < size + p
            for size, k, s, p, count in zip(
                x.shape[2:], self.kernel, self.stride, self.pad, counts, strict=True
            )
        )


def pool(x: torch.Tensor, window: Window, method: int, sample: bool) -> torch.Tensor:
    """One number for each window; `method` is a PoolMethod, whose numbers SPP and Pooling share.

    sample: draw for STOCHASTIC, as in training.
    """
    if method == caffe_pb2.PoolingParameter.AVE:
        return average_pool(x, window)
    if method == caffe_pb2.PoolingParameter.STOCHASTIC:
        return stochastic_pool(x, window, sample)
    return max_pool(x, window)


def max_pool(x: torch.Tensor, window: Window) -> torch.Tensor:
    """The largest number of each window."""
    if window.is_native(x):
        return max_pool2d(x, window.kernel, window.stride, window.pad, ceil_mode=not window.floor)
    return _bordered_max_pool(x, window)[0]


def max_pool_with_mask(x: torch.Tensor, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest number of each window and its place row * W + column in its map.

    The first of several equal ones counts; a window outside the map has the place -1.
    """
    y, place = _bordered_max_pool(x, window)
    left, right, top, _ = window.borders(x)
    height, width = x.shape[2:]
    row = place.div(width + left + right, rounding_mode="floor") - top
    column = place % (width + left + right) - left
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    exact = torch.promote_types(x.dtype, torch.float32)  # bfloat16 holds no place above 256
    return y, torch.where(inside, row * width + column, -1).to(exact)


def _bordered_max_pool(x: torch.Tensor, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
    bordered = pad(x, window.borders(x), value=torch.finfo(x.dtype).min)
    return max_pool2d(bordered, window.kernel, window.stride, return_indices=True)


def average_pool(x: torch.Tensor, window: Window) -> torch.Tensor:
    """The sum of each window over the number of its cells in the map and its borders of `pad`."""
    total = avg_pool2d(pad(x, window.borders(x)), window.kernel, window.stride, divisor_override=1)
    return total / window.cells(x).to(x.device)


def stochastic_pool(x: torch.Tensor, window: Window, sample: bool) -> torch.Tensor:
    """A number of each window drawn with probability x / sum(x); without `sample` the expectation.

    x must not be negative. Source: Zeiler & Fergus 2013, as in Caffe's GPU kernel.
    """
    columns = unfold(pad(x, window.borders(x)), window.kernel, stride=window.stride)
    columns = columns.unflatten(1, (x.shape[1], -1))  # (N, C, cells, windows)
    if sample:
        heap = columns.detach().cumsum(2)
        drawn = torch.rand_like(heap[:, :, :1]) * heap[:, :, -1:]
        y = columns.gather(2, (heap >= drawn).to(torch.uint8).argmax(2, keepdim=True))
    else:
        total = columns.sum(2, keepdim=True)
        square = columns.square().sum(2, keepdim=True)
        y = torch.where(total > 0, square / total.where(total > 0, 1), 0)
    return y.reshape(*x.shape[:2], *window.output(x))
