"""HDF5 files of weights and of a solver's state, laid out as Caffe lays them out.

Weights: data/<layer>/<i> for blob i of each layer, diff/<layer>/<i> beside it if diffs are kept. A
parameter that several layers share is stored in data by the first of them only. State: iter,
learned_net, current_step, history/<i>.
Ours besides, where Caffe does not look: the dataset caffe, the description of caffe/weights.py.
"""

import io
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import h5py
import numpy as np

from caffe.blob import checked_shape
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.weights import LayerWeights, NetWeights, describe, described, keys

# What h5py raises for files that are damaged inside.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)
_DESCRIPTION = "caffe"
_MOST_BLOBS = 1000  # of one layer: no list of a billion for a dataset named 999999999


@contextmanager
def open_file(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Open for reading; CaffeError naming the file if it is missing, no HDF5, or damaged."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CaffeError(f"{path}: cannot read: {os.strerror(error.errno or 0)}") from None
    except _DAMAGE as error:
        text = " ".join(str(error).split())
        raise CaffeError(f"{path}: not an HDF5 file, or damaged: {text}") from None


def check_numbers(dataset: object, where: str) -> h5py.Dataset:
    """`dataset`, if it is one and holds numbers; CaffeError, beginning with `where`, otherwise."""
    if not isinstance(dataset, h5py.Dataset):
        raise CaffeError(f"{where}: expected a dataset")
    if dataset.dtype.kind not in "fiub" or dataset.shape is None:
        raise CaffeError(f"{where}: expected numbers, the dataset holds {dataset.dtype}")
    if dataset.size and not dataset.id.get_storage_size() and not dataset.is_virtual:
        raise CaffeError(f"{where}: its numbers, of shape {dataset.shape}, were never written")
    return dataset


def _read_array(dataset: object, where: str) -> np.ndarray:
    found = check_numbers(dataset, where)
    try:
        checked_shape(found.shape)
    except ValueError as error:
        raise CaffeError(f"{where}: {error}") from None
    return np.asarray(found[()], np.float32)


# -- weights ---------------------------------------------------------------------------------------


def write(path: str | os.PathLike, weights: NetWeights) -> None:
    """Write a .caffemodel.h5, atomically."""
    content = io.BytesIO()
    try:
        with h5py.File(content, "w") as file:
            _put_layers(file, weights)
    except (ValueError, TypeError) as error:
        raise CaffeError(f"{path}: HDF5 cannot hold a layer's name: {error}") from None
    write_atomic(path, content.getvalue())


def _put_layers(file: h5py.File, weights: NetWeights) -> None:
    stored_under = keys(weights.layers, _is_path)
    description = describe(weights, stored_under)
    file[_DESCRIPTION] = np.frombuffer(description.encode(), np.uint8)
    data = file.create_group("data")
    diff = file.create_group("diff") if any(layer.diffs for layer in weights.layers) else None
    stored: set[tuple[int, int]] = set()
    for key, layer in zip(stored_under, weights.layers, strict=True):
        blobs = [blob if _is_new(blob, stored) else None for blob in layer.blobs]
        _put_arrays(data.require_group(key), blobs)
        if diff is not None:
            _put_arrays(diff.require_group(key), layer.diffs)


def _is_path(name: str) -> bool:
    """Whether HDF5 finds again what is stored under the name, and it is no blob of a layer."""
    _, *below = name.split("/")
    plain = bool(name) and posixpath.relpath(posixpath.join("/", name), "/") == name
    return plain and not any(part.isdecimal() for part in below)


def _is_new(blob: np.ndarray | None, stored: set[tuple[int, int]]) -> bool:
    """Whether no layer before has this very memory; `stored` remembers it."""
    if blob is None or not blob.size:
        return True
    memory = (blob.ctypes.data, blob.nbytes)
    known = memory in stored
    stored.add(memory)
    return not known


def _put_arrays(group: h5py.Group, arrays: Sequence[np.ndarray | None]) -> None:
    for i, array in enumerate(arrays):
        if array is not None:
            group.create_dataset(str(i), data=np.asarray(array, np.float32))


def read(path: str | os.PathLike) -> NetWeights:
    """All layers of a .caffemodel.h5, in the net's order if we wrote it, else in that of names.

    Raises CaffeError naming the file and, if it is a dataset's fault, the dataset.
    """
    name, layers = "", dict[str, LayerWeights]()
    with open_file(path) as file:
        data = file.get("data")
        if not isinstance(data, h5py.Group):
            raise CaffeError(f"{path}: no group data in it (expected weights as Caffe writes them)")
        if _DESCRIPTION in file:
            text = check_numbers(file[_DESCRIPTION], f"{path}: {_DESCRIPTION}")[()]
            name, layers = described(bytes(text))
        groups: list[h5py.Group] = []
        data.visititems(lambda _, item: groups.append(item) if _is_layer(item) else None)
        for group in groups:
            key = group.name.removeprefix("/data/")
            layer = layers.setdefault(key, LayerWeights(key, []))
            layer.blobs = _read_arrays(group, str(path), _MOST_BLOBS)
            diff = file.get(f"diff/{key}")
            if isinstance(diff, h5py.Group):
                layer.take_diffs(_read_arrays(diff, str(path), _MOST_BLOBS), str(path))
    if not any(layer.blobs for layer in layers.values()):
        raise CaffeError(f"{path}: no layer with weights in it (expected a .caffemodel.h5)")
    return NetWeights(list(layers.values()), name)


def _is_layer(item: object) -> bool:
    """Not one of the groups that the layer "a/b" has above it."""
    if not isinstance(item, h5py.Group):
        return False
    return not len(item) or any(isinstance(child, h5py.Dataset) for child in item.values())


def _read_arrays(group: h5py.Group, path: str, most: int) -> list[np.ndarray | None]:
    """The datasets "0", "1", ... of a group, below `most`; None for those that are not there."""
    arrays: list[np.ndarray | None] = []
    # A damaged name comes as bytes.
    names = [str(name) for name, item in group.items() if not isinstance(item, h5py.Group)]
    for name in sorted(names, key=lambda name: (len(name), name)):
        where = f"{path}: {group.name}/{name}"
        if not name.isdecimal() or str(int(name)) != name or int(name) >= most:
            raise CaffeError(f'{where}: expected datasets named "0", "1" and so on')
        arrays += [None] * (int(name) - len(arrays))
        arrays.append(_read_array(group[name], where))
    return arrays


# -- a solver's state ------------------------------------------------------------------------------


def write_state(
    path: str | os.PathLike,
    iteration: int,
    learned_net: str,
    history: Sequence[np.ndarray],
    current_step: int,
) -> None:
    """Write a .solverstate.h5, atomically."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, number in (("iter", iteration), ("current_step", current_step)):
            file[name] = np.array([number], np.int32)
        encoded = os.fsencode(learned_net)
        file["learned_net"] = np.array(encoded, f"S{len(encoded) + 1}")  # C reads to the zero
        _put_arrays(file.create_group("history"), history)
    write_atomic(path, content.getvalue())


def read_state(path: str | os.PathLike) -> tuple[int, str, list[np.ndarray]]:
    """(iteration, path of the weights or "", history) of a .solverstate.h5.

    Raises CaffeError naming the file if it is none.
    """
    with open_file(path) as file:
        group = file.get("history")
        if "iter" not in file or not isinstance(group, h5py.Group):
            raise CaffeError(f"{path}: no iter and history in it (expected a .solverstate.h5)")
        (iteration,) = np.ravel(check_numbers(file["iter"], f"{path}: iter")[()])
        arrays = _read_arrays(group, str(path), len(group))
        history = [array for array in arrays if array is not None]
        name = file["learned_net"][()] if "learned_net" in file else b""
        if not isinstance(name, bytes):
            raise CaffeError(f"{path}: learned_net: expected a path")
    return int(iteration), os.fsdecode(name), history
