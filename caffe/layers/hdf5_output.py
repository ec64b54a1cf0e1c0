"""HDF5Output: write blobs into an HDF5 file."""

import h5py
import numpy as np
import torch

from caffe.layer import Layer, Shape
from caffe.registry import register

_DATASETS = ("data", "label")
_AXES = 4


@register("HDF5Output")
class HDF5Output(Layer):
    """Append each batch to the datasets "data" and "label" of the HDF5 file `file_name`.

    bottoms: data (N, ...), label (N, ...), of as many items; both float32 in the file, of at least
    four axes as in Caffe: (N, C) becomes (N, C, 1, 1). tops: none.
    The file starts empty when the net is made, what was there is lost; after each forward pass it
    is closed, and whole. (The original can write one batch only, and closes with the net.)
    Raises CaffeError if it cannot be written or a batch's items have another shape than the first.
    Source: Caffe's HDF5OutputLayer.
    """

    bottoms = 2
    tops = 0
    repeatable = False

    def setup(self, data: Shape, label: Shape) -> None:
        self._path = self.layer_param.hdf5_output_param.file_name
        if not self._path:
            self.fail("hdf5_output_param: file_name is missing")
        self._open("w").close()

    def _open(self, mode: str) -> h5py.File:
        try:
            return h5py.File(self._path, mode)
        except OSError as error:
            self.fail(f"{self._path}: cannot write: {error}")

    def top_shapes(self, data: Shape, label: Shape) -> list[Shape]:
        if data[:1] != label[:1] or not data:
            self.fail(f"expected as many labels as items of data, got {label} for {data}")
        return []

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.top_shapes(*(tuple(bottom.shape) for bottom in bottoms))
        arrays = [_padded(bottom) for bottom in bottoms]
        with self._open("a") as file:
            for name, array in zip(_DATASETS, arrays, strict=True):
                self._dataset(file, name, array)
            for name, array in zip(_DATASETS, arrays, strict=True):
                dataset = file[name]
                dataset.resize(len(dataset) + len(array), axis=0)
                dataset[-len(array) :] = array
        return ()

    def _dataset(self, file: h5py.File, name: str, array: np.ndarray) -> None:
        """Make the dataset, or check that what is in it has the same shape."""
        items = array.shape[1:]
        if name not in file:
            file.create_dataset(name, (0, *items), np.float32, maxshape=(None, *items))
        elif file[name].shape[1:] != items:
            self.fail(
                f'{self._path}: "{name}" has items of shape {file[name].shape[1:]}, got {items}'
            )


def _padded(blob: torch.Tensor) -> np.ndarray:
    shape = tuple(blob.shape) + (1,) * (_AXES - blob.dim())
    return blob.detach().float().cpu().numpy().reshape(shape)
