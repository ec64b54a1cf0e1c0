"""Reading and writing .caffemodel files and the blobs inside them.

Files are binary protobuf, parsed through weights.proto: names and blobs only (see there why).
"""

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.layer import Layer
from caffe.proto import caffe_pb2, weights_pb2

_log = logging.getLogger("caffe")
_M = TypeVar("_M", bound=Message)


def parse_binary(path: str | os.PathLike, message: _M) -> _M:
    """Parse a binary protobuf file; CaffeError if it is missing or is not one."""
    try:
        with open(path, "rb") as file:
            message.ParseFromString(file.read())
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    except DecodeError:
        kind = type(message).__name__
        raise CaffeError(
            f"{path}: not a binary protobuf file of Caffe (expected a {kind})"
        ) from None
    return message


def blob_shape(proto: weights_pb2.Blob) -> tuple[int, ...]:
    """The blob's shape; old files give num, channels, height, width instead."""
    if proto.HasField("shape"):
        return tuple(proto.shape.dim)
    if any(proto.HasField(axis) for axis in ("num", "channels", "height", "width")):
        return (proto.num, proto.channels, proto.height, proto.width)
    return ()


def blob_array(proto: weights_pb2.Blob, path: str | os.PathLike) -> np.ndarray:
    """The blob's numbers as float32 of its shape; CaffeError naming its file if they do not fit."""
    shape = blob_shape(proto)
    if proto.double_data:
        flat = np.frombuffer(b"".join(proto.double_data), "<f8").astype(np.float32)
    else:
        flat = np.frombuffer(b"".join(proto.data), "<f4")
    if flat.size != math.prod(shape):
        raise CaffeError(f"{path}: a blob of shape {shape} holds {flat.size} numbers")
    return flat.reshape(shape)


def read_blob(path: str | os.PathLike) -> np.ndarray:
    """The numbers of a .binaryproto file, float32; CaffeError if it is missing or is none."""
    return blob_array(parse_binary(path, weights_pb2.Blob()), path)


def blob_proto(array: np.ndarray) -> weights_pb2.Blob:
    """The array as a blob message."""
    proto = weights_pb2.Blob()
    proto.shape.dim.extend(array.shape)
    proto.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    return proto


def read_layers(path: str | os.PathLike) -> list[tuple[str, list[np.ndarray]]]:
    """(layer name, its blobs) of every layer with blobs in a .caffemodel, old or new."""
    net = parse_binary(path, weights_pb2.Net())
    layers: list[weights_pb2.V1Layer | weights_pb2.Layer] = [*net.layers, *net.layer]
    found = [layer for layer in layers if layer.blobs]
    if not found:
        raise CaffeError(f"{path}: no layer with weights in it (expected a .caffemodel)")
    return [(layer.name, [blob_array(blob, path) for blob in layer.blobs]) for layer in found]


def _same_shape(mine: Sequence[int], theirs: Sequence[int]) -> bool:
    """Equal, or equal once leading ones are dropped: old files pad shapes to four axes."""
    if len(theirs) == 4 and len(mine) <= 4:
        return tuple(theirs) == (1,) * (4 - len(mine)) + tuple(mine)
    return tuple(mine) == tuple(theirs)


def load_into(params: Mapping[str, Sequence[Blob]], path: str | os.PathLike) -> list[str]:
    """Copy a file's blobs into the layers of the same name; the names that were loaded.

    Layers of the file that the net lacks are passed over. Raises CaffeError naming file, layer,
    blob and both shapes if one does not fit.
    """
    loaded = []
    for name, arrays in read_layers(path):
        if name not in params:
            _log.info("%s: layer %s is not in this net", path, name)
            continue
        blobs = params[name]
        if len(blobs) != len(arrays):
            raise CaffeError(
                f'{path}: layer "{name}": expected {len(blobs)} blob(s), the file has {len(arrays)}'
            )
        for i, (blob, array) in enumerate(zip(blobs, arrays, strict=True)):
            if not _same_shape(blob.shape, array.shape):
                raise CaffeError(
                    f'{path}: layer "{name}", blob {i}: the net expects shape {blob.shape}, the '
                    f"file has {array.shape}; rename the layer to train it from scratch"
                )
            blob.data[...] = array.reshape(blob.shape)
        loaded.append(name)
    return loaded


def _to_message(layers: Iterable[Layer], name: str) -> weights_pb2.Net:
    net = weights_pb2.Net(name=name)
    for layer in layers:
        if layer.type == "Split":  # nets insert their own
            continue
        param: caffe_pb2.LayerParameter = layer.layer_param
        out = net.layer.add(name=param.name, type=param.type, bottom=param.bottom, top=param.top)
        out.blobs.extend(blob_proto(blob.data) for blob in layer.blobs)
    return net


def save(layers: Iterable[Layer], name: str, path: str | os.PathLike) -> None:
    """Write a net's parameters as a binary .caffemodel, atomically."""
    write_atomic(path, _to_message(layers, name).SerializeToString())
