"""RoI max pooling in numpy: the twin of the native layer `ROIPooling`."""

import numpy as np

import caffe
from python_layers.array_file import DataError
from python_layers.param_str import read_param_str

POOLING_DEFAULTS = {"spatial_scale": 1.0, "score_scale": 1.0, "score_bias": 0.0}


def checked_rois(rois, images=None, columns=(5, 6)):
    """rois (R, 6): image index, x1, y1, x2, y2 (input pixels, inclusive), score; or (R, 5) without.

    Returns them; raises DataError, a ValueError, naming the first row that cannot be one. `images`
    bounds the image index, `columns` are the numbers of columns that will do.
    """
    if rois.ndim != 2 or rois.shape[1] not in columns:
        wanted = " or ".join(f"(R, {number})" for number in columns)
        raise DataError(f"rois: expected {wanted}, got {rois.shape}")
    index = rois[:, 0]
    good = (np.abs(rois) <= 2.0**24).all(axis=1) & (index >= 0) & (index == np.floor(index))
    if images is not None:
        good &= index < images
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        known = "0, 1, ..." if images is None else f"of {images} images"
        raise DataError(
            f"rois row {bad}: expected finite numbers up to 2^24 and an image index "
            f"{known}, got {rois[bad]}"
        )
    return rois


def bin_spans(lo, hi, scale, bins, limit):
    """(first pixel, one after the last) of each of `bins` bins of the extent lo..hi of a box.

    Float32 and halves rounded away from zero, as in the C++ of Fast R-CNN.
    """
    start, end = (_round(np.float32(corner) * np.float32(scale)) for corner in (lo, hi))
    step = np.float32(max(end - start + 1, 1)) / np.float32(bins)
    p = np.arange(bins, dtype=np.float32)
    begin = np.floor(p * step).astype(int) + start
    end = np.ceil((p + 1) * step).astype(int) + start
    return list(zip(np.clip(begin, 0, limit), np.clip(end, 0, limit)))


def _round(x):
    whole = int(x)
    return whole + int(np.sign(x)) * (abs(x - whole) >= 0.5)


def factors(rois, score_scale, score_bias):
    """What each box's pooled values are multiplied by, (R,)."""
    if rois.shape[1] == 5:
        return np.ones(len(rois), np.float32)
    return rois[:, 5] * np.float32(score_scale) + np.float32(score_bias)


def pool(maps, rois, scale, bins_h, bins_w):
    """Each bin's maximum (R, C, bins_h, bins_w) and where it is, y * W + x, or -1 (empty bin)."""
    channels, height, width = maps.shape[1:]
    top = np.zeros((len(rois), channels, bins_h, bins_w), np.float32)
    place = np.full(top.shape, -1, np.int64)
    for r, (image, x1, y1, x2, y2) in enumerate(rois[:, :5]):
        cols = bin_spans(x1, x2, scale, bins_w, width)
        for h, (y, y_end) in enumerate(bin_spans(y1, y2, scale, bins_h, height)):
            for w, (x, x_end) in enumerate(cols):
                if y < y_end and x < x_end:
                    window = maps[int(image), :, y:y_end, x:x_end].reshape(channels, -1)
                    at = window.argmax(axis=1)
                    top[r, :, h, w] = window[np.arange(channels), at]
                    place[r, :, h, w] = (y + at // (x_end - x)) * width + x + at % (x_end - x)
    return top, place


def scatter(top_diff, place, rois, maps_diff):
    """Add the gradient of `pool` to maps_diff (N, C, H, W)."""
    flat = maps_diff.reshape(*maps_diff.shape[:2], -1)
    channel = np.arange(flat.shape[1])
    for r, h, w in np.ndindex(len(rois), *place.shape[2:]):
        at = place[r, :, h, w]
        taken = at >= 0
        flat[int(rois[r, 0]), channel[taken], at[taken]] += top_diff[r, taken, h, w]


class ROIPooling(caffe.Layer):
    """Maximum of each bin of each box, times score_scale * score + score_bias.

    bottoms: maps (N, C, H, W); rois (R, 5 or 6), see `checked_rois`; without score the factor is 1.
    top: (R, C, pooled_h, pooled_w). An empty bin gives 0. No gradient to rois.
    param_str: JSON with pooled_h, pooled_w and, where the defaults do not serve, spatial_scale (1),
    score_scale (1), score_bias (0).
    Raises DataError, a ValueError, naming the row of an impossible box or a wrong key of param_str.
    """

    def setup(self, bottom, top):
        grid = {"pooled_h": None, "pooled_w": None}
        options = read_param_str("ROIPooling", self.param_str, **grid, **POOLING_DEFAULTS)
        self.pooled_h, self.pooled_w, self.scale, self.score_scale, self.score_bias = (
            options.values()
        )

    def reshape(self, bottom, top):
        top[0].reshape(bottom[1].shape[0], bottom[0].shape[1], self.pooled_h, self.pooled_w)

    def forward(self, bottom, top):
        maps = bottom[0].data
        rois = checked_rois(bottom[1].data, maps.shape[0])
        pooled, self.place = pool(maps, rois, self.scale, self.pooled_h, self.pooled_w)
        self.factor = factors(rois, self.score_scale, self.score_bias)[:, None, None, None]
        top[0].data[...] = pooled * self.factor

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 0
            scatter(top[0].diff * self.factor, self.place, bottom[1].data, bottom[0].diff)
