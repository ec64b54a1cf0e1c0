"""HDF5Data: rows of HDF5 files."""

from collections.abc import Iterator

import h5py
import numpy as np
import torch

from caffe import hdf5
from caffe.errors import CaffeError
from caffe.layer import Layer, Shape
from caffe.registry import register

_Rows = range | np.ndarray


@register("HDF5Data")
class HDF5Data(Layer):
    """The next `batch_size` rows of the HDF5 files named in the text file `source`.

    tops: one or more, (N, ...) each, from the dataset (rows, ...) of the top's name, which every
    file has, all datasets of a file with as many rows; numbers of any type become float32.
    The rows go on from file to file and from the last to the first, within a batch, too. `shuffle`:
    a new order of the files and of the rows of each file in every round. Paths are relative to the
    working directory. transform_param is refused, as in Caffe.
    Only the rows of one batch are in memory. All files are looked at when the net is made: raises
    CaffeError naming the file and dataset if one is missing, empty or does not fit the others.
    Source: Caffe's HDF5DataLayer.
    """

    bottoms = 0
    tops = (1, None)

    def setup(self) -> None:
        self._param = param = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            self.fail("transform_param: this layer does not transform data; remove it")
        if not param.batch_size:
            self.fail("expected a batch_size of at least 1, got 0")
        self._rng = np.random.default_rng(np.random.randint(2**31))
        self._items: list[Shape] = []  # the shape of a row of each top
        try:
            paths = _names(param.source)
            self._files = [(path, self._look_at(path)) for path in paths]
        except CaffeError as error:
            self.fail(str(error))
        self._rounds = self._order()
        self._path, self._left = next(self._rounds)

    def _look_at(self, path: str) -> int:
        """Check a file against the ones before; how many rows it has."""
        with hdf5.open_file(path) as file:
            shapes = [_dataset(file, name, path).shape for name in self.layer_param.top]
        counts, items = [shape[0] for shape in shapes], [shape[1:] for shape in shapes]
        named = ", ".join(map(repr, self.layer_param.top))
        if len(set(counts)) > 1 or not counts[0]:
            raise CaffeError(f"{path}: expected as many rows, 1 or more, in {named}; got {counts}")
        self._items = self._items or items
        if items != self._items:
            raise CaffeError(
                f"{path}: expected rows of shapes {self._items} in {named}, as in the first file; "
                f"got {items}"
            )
        return counts[0]

    def _order(self) -> Iterator[tuple[str, _Rows]]:
        """File after file, and in which order to use its rows, without end."""
        while True:
            shuffle, count = self._param.shuffle, len(self._files)
            for i in self._rng.permutation(count) if shuffle else range(count):
                path, rows = self._files[i]
                yield path, self._rng.permutation(rows) if shuffle else range(rows)

    def _next_part(self, most: int) -> list[np.ndarray]:
        """The next rows of one file, at most so many, for each top."""
        if not len(self._left):
            self._path, self._left = next(self._rounds)
        rows, self._left = self._left[:most], self._left[most:]
        try:
            with hdf5.open_file(self._path) as file:
                return [_read(file[name], rows) for name in self.layer_param.top]
        except CaffeError as error:
            self.fail(str(error))

    def top_shapes(self) -> list[Shape]:
        return [(self._param.batch_size, *item) for item in self._items]

    def forward(self) -> tuple[torch.Tensor, ...]:
        parts: list[list[np.ndarray]] = []
        missing = self._param.batch_size
        while missing:
            parts.append(self._next_part(missing))
            missing -= len(parts[-1][0])
        arrays = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        return tuple(torch.from_numpy(array).to(self._device) for array in arrays)


def _names(source: str) -> list[str]:
    try:
        with open(source, encoding="utf-8") as file:
            names = file.read().split()
    except (OSError, UnicodeDecodeError) as error:
        raise CaffeError(f"{source}: cannot read: {error}") from None
    if not names:
        raise CaffeError(f"{source}: expected the names of HDF5 files, it has none")
    return names


def _dataset(file: h5py.File, name: str, path: str) -> h5py.Dataset:
    if name not in file:
        raise CaffeError(f'{path}: no dataset "{name}"; there are {", ".join(file) or "none"}')
    dataset = hdf5.check_numbers(file[name], f'{path}: "{name}"')
    if not dataset.shape:
        raise CaffeError(f'{path}: "{name}": expected rows, got one number')
    return dataset


def _read(dataset: h5py.Dataset, rows: _Rows) -> np.ndarray:
    if isinstance(rows, range):
        return dataset[rows.start : rows.stop].astype(np.float32, copy=False)
    order = np.argsort(rows)  # HDF5 reads rows in the order of the file only
    out = np.empty((len(rows), *dataset.shape[1:]), np.float32)
    out[order] = dataset[rows[order]]
    return out
