"""Weights files of every format, told apart by their suffix or by what is in them."""

import os
from pathlib import Path
from types import ModuleType

import h5py

from caffe import caffemodel, hdf5, safetensors_file
from caffe.weights import NetWeights

_BY_SUFFIX: dict[str, ModuleType] = {".h5": hdf5, ".safetensors": safetensors_file}


def read(path: str | os.PathLike) -> NetWeights:
    """The layers of a .h5, a .safetensors or, whatever it is called, a binary .caffemodel.

    HDF5 under another name is known by its first bytes, as in Caffe. Raises CaffeError naming the
    file if it is missing or damaged.
    """
    known = _BY_SUFFIX.get(Path(path).suffix)
    if known is None:
        known = hdf5 if h5py.is_hdf5(path) else caffemodel
    return known.read(path)


def write(path: str | os.PathLike, weights: NetWeights) -> None:
    """Write .h5, .safetensors or, under any other name, a binary .caffemodel, atomically."""
    _BY_SUFFIX.get(Path(path).suffix, caffemodel).write(path, weights)
