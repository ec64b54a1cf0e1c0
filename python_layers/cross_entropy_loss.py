"""Cross-entropy of independent labels in numpy: the twin of the native `CrossEntropyLoss`."""

import numpy as np

import caffe

LEAST = np.float32(1e-4)


class CrossEntropyLoss(caffe.Layer):
    """-(1/N) sum_n sum_k [ y log max(p, 1e-4) + (1-y) log max(1-p, 1e-4) ].

    bottoms: p (N, K), probabilities; y (N, K), 0 or 1 (or between), no gradient.
    top: (1); give the layer `loss_weight: 1`. The gradient is -y / max(p, 1e-4) +
    (1-y) / max(1-p, 1e-4), over N, also where a probability was raised to 1e-4.
    Raises ValueError for another number of labels than of probabilities.
    """

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError(f"CrossEntropyLoss: expected p and y, got {len(bottom)} bottom(s)")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            shapes = [tuple(blob.shape) for blob in bottom]
            raise ValueError(
                f"CrossEntropyLoss: expected as many labels as in {shapes[0]}, got {shapes[1]}"
            )
        top[0].reshape(1)

    def forward(self, bottom, top):
        p = bottom[0].data
        y = bottom[1].data.reshape(p.shape)
        self.yes, self.no = np.maximum(p, LEAST), np.maximum(1 - p, LEAST)
        gain = y * np.log(self.yes) + (1 - y) * np.log(self.no)
        top[0].data[0] = -np.sum(gain, dtype=np.float64) / max(len(p), 1)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            y = bottom[1].data.reshape(self.yes.shape)
            factor = top[0].diff[0] / max(len(y), 1)
            bottom[0].diff[...] = factor * ((1 - y) / self.no - y / self.yes)
