"""PSPNet's batch normalisation in numpy: the twin of the native layer `BN`."""

import numpy as np

import caffe
from python_layers.param_str import read_param_str

DEFAULTS = {
    "momentum": 0.9,
    "eps": 1e-5,
    "frozen": False,
    "slope_filler": 1.0,
    "bias_filler": 0.0,
}


class BN(caffe.Layer):
    """y = slope * (x - mean) / sqrt(var + eps) + bias, of each channel.

    bottom: x (N, C, ...). top: y, the same shape, may be x itself.
    blobs: slope, bias, running mean, running variance, all (1, C, 1, 1). In TRAIN mean and var are
    the batch's, and each forward pass updates the running ones: old * momentum + new *
    (1 - momentum). In TEST, and with `frozen`, the running ones are used. Give the layer four
    `param`, of which the last two (with `frozen` all) have lr_mult 0 and decay_mult 0.
    param_str: JSON, may have momentum (0.9), eps (1e-5), frozen (false) and the start values
    slope_filler (1) and bias_filler (0).
    """

    def setup(self, bottom, top):
        options = read_param_str("BN", self.param_str, **DEFAULTS)
        self.keep, self.eps, self.frozen, *starts = options.values()
        for value in (*starts, 0.0, float(self.frozen)):
            self.blobs.add_blob(1, bottom[0].shape[1], 1, 1)
            self.blobs[len(self.blobs) - 1].data[...] = value

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        x = bottom[0].data
        x = x.reshape(*x.shape[:2], -1)
        self.of_batch = self.phase != caffe.TEST and not self.frozen
        slope, bias, mean, var = (blob.data.reshape(-1, 1) for blob in self.blobs)
        if self.of_batch:
            running = mean, var
            mean = x.mean(axis=(0, 2), dtype=np.float64).astype(np.float32)[:, None]
            var = np.square(x - mean).mean(axis=(0, 2), dtype=np.float64)
            var = var.astype(np.float32)[:, None]
            for old, new in zip(running, (mean, var)):
                old[...] = old * self.keep + new * (1 - self.keep)
        self.inverse = 1 / np.sqrt(var + np.float32(self.eps))
        self.normal = (x - mean) * self.inverse
        top[0].data[...] = (self.normal * slope + bias).reshape(top[0].data.shape)

    def backward(self, top, propagate_down, bottom):
        diff = top[0].diff.reshape(self.normal.shape)
        slope = self.blobs[0].data.reshape(-1, 1)
        along = np.sum(diff * self.normal, axis=(0, 2), keepdims=True)
        total = np.sum(diff, axis=(0, 2), keepdims=True)
        if not self.frozen:
            for blob, sums in zip(self.blobs, (along, total)):
                blob.diff[...] += sums.reshape(blob.diff.shape)
        if not propagate_down[0]:
            return
        if self.of_batch:
            count = diff.shape[0] * diff.shape[2]
            diff = diff - (total + self.normal * along) / count
        bottom[0].diff[...] = (diff * slope * self.inverse).reshape(bottom[0].diff.shape)
