"""MatRead: blobs from MATLAB files."""

import numpy as np
import torch

from caffe.data import mat_file
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("MatRead")
class MatRead(Layer):
    """The next `batch_size` files of what MatWrite or MATLAB wrote, one behind the other.

    tops: any number; top i has the items of the files `<prefix><name>_blob_<i>.mat`, the names
    from the list `source`, over and over, or "iter_0", "iter_1", ... without one. `strip`:
    characters to leave out at the end of each name.
    The variable is "data", W x H x C x N (see caffe/data/mat_file.py), and (N, C, H, W) in the net;
    MATLAB leaves out axes of length one at the end.
    Source: DeepLab's MatReadLayer.
    """

    bottoms = 0
    tops = (1, None)

    def setup(self) -> None:
        self.param = self.layer_param.mat_read_param
        if self.param.batch_size < 1:
            self.fail(f"expected a batch_size of at least 1, got {self.param.batch_size}")
        self.names = mat_file.Names(self.param)
        self.files_done = 0
        self.shapes = [array.shape for array in self._batch()]

    def _batch(self) -> list[np.ndarray]:
        numbers = list(range(self.files_done, self.files_done + self.param.batch_size))
        if self.names.source:
            numbers = [number % len(self.names) for number in numbers]
        return [self._top(i, numbers) for i in range(len(self.layer_param.top))]

    def _top(self, blob: int, numbers: list[int]) -> np.ndarray:
        paths = [self.names.path(number, blob) for number in numbers]
        arrays = [mat_file.read(path) for path in paths]
        for path, array in zip(paths, arrays, strict=True):
            if array.shape[1:] != arrays[0].shape[1:]:
                self.fail(
                    f"{path}: expected items (C, H, W) of {arrays[0].shape[1:]} like the first of "
                    f"its batch, got {array.shape[1:]}"
                )
        return np.concatenate(arrays)

    def top_shapes(self) -> list[Shape]:
        return self.shapes

    def forward(self) -> tuple[torch.Tensor, ...]:
        arrays = self._batch()
        self.files_done += self.param.batch_size
        return tuple(torch.from_numpy(array).to(self._device) for array in arrays)
