"""RoI max pooling with several grids, in numpy: the twin of `ROISpatialPyramidPooling`."""

import numpy as np

import caffe
from python_layers.param_str import read_param_str
from python_layers.roi_pooling import POOLING_DEFAULTS, checked_rois, factors, pool, scatter


class ROISpatialPyramidPooling(caffe.Layer):
    """Row r: for each b in bins, the b x b maxima of box r, times score_scale * score + score_bias.

    bottoms: maps (N, C, H, W); rois (R, 5 or 6), as for ROIPooling.
    top: (R, C * sum of bins^2), level after level, each in C, h, w order. No gradient to rois.
    param_str: JSON with bins (a list) and, where the defaults do not serve, spatial_scale (1),
    score_scale (1), score_bias (0).
    Raises DataError, a ValueError, naming the row of an impossible box or a wrong key of param_str.
    """

    def setup(self, bottom, top):
        options = read_param_str(
            "ROISpatialPyramidPooling", self.param_str, bins=None, **POOLING_DEFAULTS
        )
        self.bins, self.scale, self.score_scale, self.score_bias = options.values()

    def reshape(self, bottom, top):
        self.widths = [bottom[0].shape[1] * b * b for b in self.bins]
        top[0].reshape(bottom[1].shape[0], sum(self.widths))

    def forward(self, bottom, top):
        maps = bottom[0].data
        rois = checked_rois(bottom[1].data, maps.shape[0])
        levels = [pool(maps, rois, self.scale, b, b) for b in self.bins]
        self.places = [place for _, place in levels]
        self.factor = factors(rois, self.score_scale, self.score_bias)[:, None]
        rows = [pooled.reshape(len(rois), width) for (pooled, _), width in zip(levels, self.widths)]
        top[0].data[...] = np.concatenate(rows, axis=1) * self.factor

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        bottom[0].diff[...] = 0
        diffs = np.split(top[0].diff * self.factor, np.cumsum(self.widths)[:-1], axis=1)
        for diff, place in zip(diffs, self.places):
            scatter(diff.reshape(place.shape), place, bottom[1].data, bottom[0].diff)
