"""Score-weighted concatenation in numpy: the twin of the native layer `ScoreWeightedConcat`."""

import numpy as np

import caffe
from python_layers.roi_pooling import checked_rois


class ScoreWeightedConcat(caffe.Layer):
    """Row r: s'_r * [features_1[r], ..., features_m[r]], each flattened.

    bottoms: features_1 .. features_m, each (R, ...); rois (R, 6), of which the score s' is read.
    top: (R, D), D the sum of the features' numbers per box. No gradient to rois.
    Raises ValueError for rows that do not agree or the row of an impossible box.
    """

    def setup(self, bottom, top):
        if len(bottom) < 2:
            raise ValueError(f"expected features and rois, got {len(bottom)} bottom(s)")

    def reshape(self, bottom, top):
        boxes = bottom[-1].shape[0]
        for i, blob in enumerate(bottom[:-1], 1):
            if len(blob.shape) < 2 or blob.shape[0] != boxes:
                raise ValueError(f"features {i}: expected ({boxes}, ...), got {tuple(blob.shape)}")
        self.widths = [int(np.prod(blob.shape[1:])) for blob in bottom[:-1]]
        top[0].reshape(boxes, sum(self.widths))

    def forward(self, bottom, top):
        self.scores = checked_rois(bottom[-1].data, columns=(6,))[:, 5:].copy()
        for blob, columns in zip(bottom[:-1], self._columns(top[0].data)):
            columns[...] = blob.data.reshape(columns.shape) * self.scores

    def backward(self, top, propagate_down, bottom):
        parts = zip(bottom[:-1], propagate_down, self._columns(top[0].diff))
        for blob, wanted, columns in parts:
            if wanted:
                blob.diff[...] = (columns * self.scores).reshape(blob.diff.shape)

    def _columns(self, rows):
        return np.split(rows, np.cumsum(self.widths)[:-1], axis=1)
