"""Where a window of an image lands in a square crop, with context around it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from caffe.errors import CaffeError

_F = np.float32  # the original computes in single precision, and rounds what comes out


class Span(NamedTuple):
    """Along one axis: pixels low..high of the image, warped to at most `extent` of the crop's
    pixels, with `before` pixels of the crop in front of them and `after` behind."""

    low: int
    high: int
    extent: int
    before: int
    after: int


def _round(value: np.float32) -> int:
    """C's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


def _grown(first: int, last: int, half: np.float32, scale: np.float32) -> tuple[int, int]:
    centre = _F(first) + _F((last - first + 1) / 2)
    return _round(centre - half * scale), _round(centre + half * scale)


def _clipped(low: int, high: int, length: int, size: int) -> Span:
    before, after = max(0, -low), max(0, high - length + 1)
    factor = _F(size) / _F(high - low + 1)
    low, high = low + before, high - after
    if low > high:
        raise CaffeError(f"expected a window inside of the image, 0..{length - 1}")
    extent = _round(_F(high - low + 1) * factor)
    return Span(low, high, extent, _round(_F(before) * factor), _round(_F(after) * factor))


def spans(
    box: Sequence[int], shape: Sequence[int], size: int, pad: int, square: bool
) -> tuple[Span, Span]:
    """The rows and the columns of the window `box` (x1, y1, x2, y2, inclusive) in the crop.

    shape: the image's height and width; size: of the crop, in which `pad` pixels on each side show
    what is around the window, or around the square that holds it. With neither, the window must lie
    in the image. Raises CaffeError if nothing of the window does.
    """
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        raise CaffeError(f"expected x1 <= x2 and y1 <= y2, got {tuple(box)}")
    height, width = shape
    if not pad and not square:
        if x1 < 0 or y1 < 0 or x2 >= width or y2 >= height:
            size_of = f"{width} x {height} pixels"
            raise CaffeError(f"expected a window inside of {size_of}, got {tuple(box)}")
        return _clipped(y1, y2, height, size), _clipped(x1, x2, width, size)
    scale = _F(size) / _F(size - 2 * pad)
    half_height, half_width = _F((y2 - y1 + 1) / 2), _F((x2 - x1 + 1) / 2)
    if square:
        half_height = half_width = max(half_height, half_width)
    rows = _grown(y1, y2, half_height, scale)
    columns = _grown(x1, x2, half_width, scale)
    return _clipped(*rows, height, size), _clipped(*columns, width, size)
