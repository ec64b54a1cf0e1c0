"""A learned blob as a top: the twin of the native layer `Parameter`."""

import caffe
from python_layers.array_file import DataError
from python_layers.param_str import read_param_str


class Parameter(caffe.Layer):
    """y = w, a learned blob that other layers read.

    bottoms: none. top: y, of the shape given. blob: w, the same shape, zeros at first.
    param_str: JSON with shape, a list. Raises DataError, a ValueError, without one.
    """

    def setup(self, bottom, top):
        (self.shape,) = read_param_str("Parameter", self.param_str, shape=None).values()
        if not isinstance(self.shape, list):
            raise DataError(
                f"Parameter: param_str: shape: expected a list of sizes, got {self.shape!r}"
            )
        self.blobs.add_blob(*self.shape)

    def reshape(self, bottom, top):
        top[0].reshape(*self.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff
