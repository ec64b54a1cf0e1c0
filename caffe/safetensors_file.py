"""Weights as .safetensors files: tensors "<layer>.<i>", and "<layer>.<i>.diff" for diffs.

The metadata entry "caffe" is the description of caffe/weights.py: what the tensors' names do not
say. A file without it is read, too.
"""

import os
import re
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError, safe_open

from caffe.blob import checked_shape
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.weights import LayerWeights, NetWeights, describe, described, keys

_DESCRIPTION = "caffe"
_KEY = re.compile(r"(?P<layer>.*)\.(?P<index>0|[1-9]\d{0,2})(?P<diff>\.diff)?", re.DOTALL)


def write(path: str | os.PathLike, weights: NetWeights) -> None:
    """Write a .safetensors file, atomically."""
    tensors: dict[str, np.ndarray] = {}
    stored_under = keys(weights.layers)
    for key, layer in zip(stored_under, weights.layers, strict=True):
        for kind, arrays in (("", layer.blobs), (".diff", layer.diffs)):
            for i, array in enumerate(arrays):
                if array is not None:
                    tensors[f"{key}.{i}{kind}"] = np.asarray(array, np.float32, order="C")
    metadata = {_DESCRIPTION: describe(weights, stored_under)}
    write_atomic(path, safetensors.numpy.save(tensors, metadata))


def read(path: str | os.PathLike) -> NetWeights:
    """All layers of a .safetensors file.

    Raises CaffeError naming the file, and the tensor if it is one's fault.
    """
    name, layers = "", dict[str, LayerWeights]()
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if _DESCRIPTION in metadata:
                name, layers = described(metadata[_DESCRIPTION])
            for key in file.keys():  # noqa: SIM118  a safe_open is no dict
                _put(layers, key, _array(file, key, f"{path}: {key}"), str(path))
    except CaffeError:
        raise
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise CaffeError(f"{path}: not a safetensors file, or damaged: {text}") from None
    if not any(layer.blobs for layer in layers.values()):
        raise CaffeError(f"{path}: no layer with weights in it")
    for layer in layers.values():
        layer.take_diffs(layer.diffs, str(path))
    return NetWeights(list(layers.values()), name)


def _array(file: Any, key: str, where: str) -> np.ndarray:
    try:
        checked_shape(file.get_slice(key).get_shape())
    except ValueError as error:
        raise CaffeError(f"{where}: {error}") from None
    return file.get_tensor(key).to(torch.float32).numpy()


def _put(layers: dict[str, LayerWeights], key: str, array: np.ndarray, path: str) -> None:
    match = _KEY.fullmatch(key)
    if match is None:
        raise CaffeError(f"{path}: {key}: expected tensors named <layer>.<number of the blob>")
    layer = layers.setdefault(match["layer"], LayerWeights(match["layer"], []))
    arrays, index = layer.diffs if match["diff"] else layer.blobs, int(match["index"])
    arrays += [None] * (index + 1 - len(arrays))
    arrays[index] = array
