"""RoI max pooling with several grids, in numpy: the twin of `ROISpatialPyramidPooling`."""

import json

import numpy as np

import caffe
from python_layers.roi_pooling import checked_rois, factors, pool, scatter


class ROISpatialPyramidPooling(caffe.Layer):
    """Row r: for each b in bins, the b x b maxima of box r, times score_scale * score + score_bias.

    bottoms: maps (N, C, H, W); rois (R, 5 or 6), as for ROIPooling.
    top: (R, C * sum of bins^2), level after level, each in C, h, w order. No gradient to rois.
    param_str: JSON with bins (a list) and, where the defaults do not serve, spatial_scale (1),
    score_scale (1), score_bias (0).
    Raises ValueError naming the row of an impossible box.
    """

    def setup(self, bottom, top):
        self.bins, self.scale, self.score_scale, self.score_bias = _parameters(
            **json.loads(self.param_str)
        )

    def reshape(self, bottom, top):
        cells = sum(b * b for b in self.bins)
        top[0].reshape(bottom[1].shape[0], bottom[0].shape[1] * cells)

    def forward(self, bottom, top):
        maps = bottom[0].data
        rois = checked_rois(bottom[1].data, maps.shape[0])
        levels = [pool(maps, rois, self.scale, b, b) for b in self.bins]
        self.places = [place for _, place in levels]
        self.factor = factors(rois, self.score_scale, self.score_bias)[:, None]
        rows = [pooled.reshape(len(rois), -1) for pooled, _ in levels]
        top[0].data[...] = np.concatenate(rows, axis=1) * self.factor

    def backward(self, top, propagate_down, bottom):
        if not propagate_down[0]:
            return
        bottom[0].diff[...] = 0
        diff, begin = top[0].diff * self.factor, 0
        for place in self.places:
            end = begin + place[0].size if len(place) else begin
            level = diff[:, begin:end].reshape(place.shape)
            scatter(level, place, bottom[1].data, bottom[0].diff)
            begin = end


def _parameters(bins, spatial_scale=1.0, score_scale=1.0, score_bias=0.0):
    return bins, spatial_scale, score_scale, score_bias
