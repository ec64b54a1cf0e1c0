"""Each item to length 1, in numpy: the twin of the native layer `Normalization`."""

import numpy as np

import caffe


class Normalization(caffe.Layer):
    """y_n = x_n / |x_n|, over all numbers of item n.

    bottom: x (N, ...). top: y, the same shape; an item of zeros stays zero and gets no gradient.
    The gradient is (dy_n - y_n <y_n, dy_n>) / |x_n|.
    """

    def setup(self, bottom, top):
        if (len(bottom), len(top)) != (1, 1):
            raise ValueError(
                f"Normalization: expected 1 bottom, 1 top, got {len(bottom)}, {len(top)}"
            )

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        x = bottom[0].data.reshape(bottom[0].data.shape[0], -1)
        length = np.sqrt(np.sum(np.square(x, dtype=np.float64), axis=1, keepdims=True))
        with np.errstate(divide="ignore"):
            self.inverse = np.where(length > 0, 1 / length, 0).astype(np.float32)
        self.y = x * self.inverse
        top[0].data[...] = self.y.reshape(top[0].data.shape)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            diff = top[0].diff.reshape(self.y.shape)
            along = np.sum(self.y * diff, axis=1, keepdims=True)
            new = (diff - self.y * along) * self.inverse
            bottom[0].diff[...] = new.reshape(bottom[0].diff.shape)
