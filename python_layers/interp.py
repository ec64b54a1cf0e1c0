"""Bilinear resizing that keeps the corners, in numpy: the twin of the native layer `Interp`."""

import numpy as np

import caffe
from python_layers.array_file import DataError
from python_layers.param_str import read_param_str

DEFAULTS = {
    "height": 0,
    "width": 0,
    "zoom_factor": 0,
    "shrink_factor": 0,
    "pad_beg": 0,
    "pad_end": 0,
}


def new_size(size, wanted, zoom, shrink):
    """How many rows (or columns) there are after resizing `size` of them; 0: not given."""
    if wanted and bool(zoom) == bool(shrink):
        return wanted
    shrunk = (size - 1) // max(shrink, 1) + 1
    return shrunk + (shrunk - 1) * (max(zoom, 1) - 1)


def weights(size, count):
    """(count, size): row i weights the two of `size` points that lie about point i of `count`.

    Point i is at i (size - 1) / (count - 1), in float32 as in the original.
    """
    step = np.float32(size - 1) / np.float32(count - 1) if count > 1 else np.float32(0)
    places = np.arange(count, dtype=np.float32) * step
    low = places.astype(int)
    high = np.minimum(low + 1, size - 1)
    share = places - low.astype(np.float32)
    matrix = np.zeros((count, size), np.float32)
    rows = np.arange(count)
    matrix[rows, low] = 1 - share
    matrix[rows, high] += share
    return matrix


class Interp(caffe.Layer):
    """Bilinear interpolation; the corner pixels of x are the corner pixels of y.

    bottom: x (N, C, H, W), of which -pad_beg rows and columns in front and -pad_end behind are cut
    off first. top: y (N, C, H', W') of `height` and `width`; or of the rest's h rows
    (h - 1) / shrink_factor + 1, rounded down, then h + (h - 1) (zoom_factor - 1), and so the width.
    param_str: JSON with height and width, zoom_factor, shrink_factor, pad_beg, pad_end.
    Raises DataError, a ValueError, if no size is given or nothing is left to resize.
    """

    def setup(self, bottom, top):
        options = read_param_str("Interp", self.param_str, **DEFAULTS)
        self.wanted = options["height"], options["width"]
        self.factors = options["zoom_factor"], options["shrink_factor"]
        self.cut = -options["pad_beg"], -options["pad_end"]
        if not any(self.factors) and not all(self.wanted):
            raise DataError("Interp: give height and width, or shrink_factor, or zoom_factor")
        if min(self.cut) < 0 or min(*self.wanted, *self.factors) < 0:
            raise DataError(
                "Interp: expected sizes and factors >= 0, pad_beg and pad_end <= 0 (they cut), "
                f"got {options}"
            )

    def reshape(self, bottom, top):
        shape = tuple(bottom[0].shape)
        rest = [size - sum(self.cut) for size in shape[2:]]
        wanted = self.wanted if all(self.wanted) else (0, 0)
        new = [new_size(a, b, *self.factors) for a, b in zip(rest, wanted)]
        if len(shape) != 4 or min(rest + new) < 1:
            raise DataError(f"Interp: expected a bottom (N, C, H, W) of which something is left "
                            f"to resize, got {shape}")  # fmt: skip
        self.matrices = [weights(a, b) for a, b in zip(rest, new)]
        top[0].reshape(*shape[:2], *new)

    def _rest(self, array):
        first, last = self.cut
        return array[:, :, first : array.shape[2] - last, first : array.shape[3] - last]

    def forward(self, bottom, top):
        rows, columns = self.matrices
        top[0].data[...] = rows @ self._rest(bottom[0].data) @ columns.T

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            rows, columns = self.matrices
            bottom[0].diff[...] = 0
            self._rest(bottom[0].diff)[...] = rows.T @ top[0].diff @ columns
