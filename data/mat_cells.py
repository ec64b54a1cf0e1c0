"""Read .mat files of either kind: up to version 7 with scipy, 7.3 (HDF5) with h5py."""

import h5py
import numpy as np
import scipy.io

from python_layers.array_file import DataError


class ScipyCells:
    """A cell array in memory, as a sequence of arrays and texts."""

    def __init__(self, cells):
        self.cells = cells.ravel()

    def __len__(self):
        return len(self.cells)

    def __getitem__(self, number):
        value = self.cells[number]
        return "".join(value.ravel()) if value.dtype.kind == "U" else value


class HdfCells:
    """A cell array in an open HDF5 file; an element is read when it is asked for."""

    def __init__(self, file, references):
        self.file, self.references = file, references[()].ravel()

    def __len__(self):
        return len(self.references)

    def __getitem__(self, number):
        return hdf_value(self.file, self.file[self.references[number]])


def hdf_value(file, item):
    """The array (axes as MATLAB has them), text or cells of one item of an HDF5 file."""
    if item.attrs.get("MATLAB_empty"):
        return np.zeros(tuple(item[()].astype(int)))  # it holds the size in place of the values
    if h5py.check_ref_dtype(item.dtype):
        return HdfCells(file, item)
    array = item[()].T
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, array.ravel()))
    return array


def read_hdf(path):
    """read_variables of version 7.3; the file stays open for its cells."""
    try:
        file = h5py.File(path, "r")
        return {name: hdf_value(file, item) for name, item in file.items() if name[0] != "#"}
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: expected a .mat, got: {error}; fetch it again") from None


def read_variables(path):
    """{name: array, text or sequence of a cell array's elements}; DataError if it is no .mat."""
    try:
        found = scipy.io.loadmat(path)
    except NotImplementedError:  # scipy's way to say that it is of version 7.3
        return read_hdf(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: expected a .mat") from None
    except Exception as error:  # whatever scipy stumbles over in a damaged file
        raise DataError(f"{path}: expected a .mat, got: {error}; fetch it again") from None
    variables = {name: array for name, array in found.items() if not name.startswith("__")}
    return {
        name: ScipyCells(array) if array.dtype == object else array
        for name, array in variables.items()
    }
