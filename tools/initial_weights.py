"""Load the weights that a training starts from, and notice what did not come with them.

Caffe loads by layer name and passes over layers that the file does not have: with another
file's names a training would silently start from noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from errors import UserError

import caffe


def load(net: caffe.Net, path: Path, needed: Iterable[str] = ()) -> list[str]:
    """Copy a weights file into the net; the names of the layers that it left as they were.

    Raises UserError if there is no such file, or none of the `needed` layers' weights in it; what
    copy_from raises, naming each blob, before anything is loaded, if a shape does not fit.
    """
    if not Path(path).is_file():
        raise UserError(
            f"{path}: no such file: expected weights to start from; VGG16's come with: "
            "python data/download.py"
        )
    marked = {name: _mark(blobs) for name, blobs in net.params.items()}
    fresh = []
    try:
        net.copy_from(str(path))
    finally:
        for name, number in marked.items():
            first = next(iter(net.params[name])).data.reshape(-1)
            if np.isnan(first[0]):  # nothing came over the mark
                first[0] = number
                fresh.append(name)
    missing = [name for name in needed if name in fresh]
    if missing:
        name = missing[0]
        shapes = ", ".join(str(tuple(blob.data.shape)) for blob in net.params[name])
        raise UserError(
            f'{path}: expected weights for layer "{name}" ({shapes}), got none; '
            f"{len(marked) - len(fresh)} of the net's {len(marked)} layers were found in it"
        )
    return fresh


def _mark(blobs: Iterable[caffe.Blob]) -> float:
    """Put NaN where the layer's first number is, which no file has there; the number."""
    first = next(iter(blobs)).data.reshape(-1)
    number = float(first[0])
    first[0] = np.nan
    return number
