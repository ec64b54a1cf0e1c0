"""Reading and writing .caffemodel files and the blobs inside them.

Files are binary protobuf, parsed through weights.proto: names and blobs only (see there why).
"""

import math
import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from caffe.blob import checked_shape
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.proto import caffe_pb2, weights_pb2
from caffe.upgrade import current_type
from caffe.upgrade_v0 import v1_type
from caffe.weights import LayerWeights, NetWeights

_M = TypeVar("_M", bound=Message)
_Layer = weights_pb2.Layer | weights_pb2.V1Layer | weights_pb2.V0Layer
_LARGEST = 2**31 - 1  # bytes of a message, for protobuf counts them in an int
_V1_TYPES = set(caffe_pb2.V1LayerParameter.LayerType.values()) - {caffe_pb2.V1LayerParameter.NONE}


def parse_binary(path: str | os.PathLike, message: _M) -> _M:
    """Parse a binary protobuf file; CaffeError if it is missing, too large or is not one."""
    kind = type(message).__name__
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise CaffeError(
                    f"{path}: expected a {kind} of at most {_LARGEST} bytes, got {size}"
                )
            message.ParseFromString(file.read())
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    except DecodeError:
        raise CaffeError(
            f"{path}: not a binary protobuf file of Caffe, or cut off (expected a {kind})"
        ) from None
    return message


def blob_shape(proto: weights_pb2.Blob) -> tuple[int, ...]:
    """The blob's shape; old files give num, channels, height, width instead."""
    if proto.HasField("shape"):
        return tuple(proto.shape.dim)
    if any(proto.HasField(axis) for axis in ("num", "channels", "height", "width")):
        return (proto.num, proto.channels, proto.height, proto.width)
    return ()


def _array(
    floats: Sequence[bytes], doubles: Sequence[bytes], shape: tuple[int, ...], where: str
) -> np.ndarray:
    """Packed numbers as float32 of this shape; CaffeError if there are more or fewer of them."""
    content, kind = (b"".join(doubles), "<f8") if doubles else (b"".join(floats), "<f4")
    count, rest = divmod(len(content), int(kind[2:]))
    if rest or count != math.prod(shape):
        holds = f"{len(content)} bytes" if rest else f"{count} numbers"
        raise CaffeError(f"{where}: a blob of shape {shape} holds {holds}")
    return np.frombuffer(content, kind).astype(np.float32, copy=False).reshape(shape)


def blob_array(proto: weights_pb2.Blob, where: str | os.PathLike) -> np.ndarray:
    """The blob's numbers as float32 of its shape.

    Raises CaffeError, beginning with `where`, if the shape is larger than Caffe's blobs can be or
    the numbers do not fill it.
    """
    try:
        shape = checked_shape(blob_shape(proto))
    except ValueError as error:
        raise CaffeError(f"{where}: {error}") from None
    return _array(proto.data, proto.double_data, shape, str(where))


def net_blob(proto: caffe_pb2.BlobProto, where: str) -> np.ndarray:
    """`blob_array` for a blob that stands in a net."""
    return blob_array(weights_pb2.Blob.FromString(proto.SerializeToString()), where)


def read_blob(path: str | os.PathLike) -> np.ndarray:
    """The numbers of a .binaryproto file, float32; CaffeError if it is missing or is none."""
    return blob_array(parse_binary(path, weights_pb2.Blob()), path)


def blob_proto(array: np.ndarray, diff: np.ndarray | None = None) -> weights_pb2.Blob:
    """The array, and its diff if given, as a blob message."""
    proto = weights_pb2.Blob()
    proto.shape.dim.extend(array.shape)
    proto.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    if diff is not None:
        proto.diff.append(np.ascontiguousarray(diff, "<f4").tobytes())
    return proto


def _diff(proto: weights_pb2.Blob, shape: tuple[int, ...], where: str) -> np.ndarray | None:
    if not (proto.diff or proto.double_diff):
        return None
    return _array(proto.diff, proto.double_diff, shape, f"{where}, diff")


def _blobs(layer: _Layer, path: str | os.PathLike) -> LayerWeights:
    """The layer's name and blobs."""
    weights = LayerWeights(_text(layer.name), [])
    diffs = []
    for i, proto in enumerate(layer.blobs):
        where = f'{path}: layer "{weights.name}", blob {i}'
        blob = blob_array(proto, where)
        weights.blobs.append(blob)
        diffs.append(_diff(proto, blob.shape, where))
    weights.take_diffs(diffs, str(path))
    return weights


def _text(name: str | bytes) -> str:
    """protobuf hands over as bytes what Caffe wrote in another encoding than UTF-8."""
    return name if isinstance(name, str) else name.decode(errors="replace")


def _current_type(number: int) -> str:
    """Of a V1 layer; empty if the file says none or, damaged, one that never was."""
    return current_type(number) if number in _V1_TYPES else ""


def _layer(layer: weights_pb2.Layer | weights_pb2.V1Layer, path: str | os.PathLike) -> LayerWeights:
    if isinstance(layer, weights_pb2.Layer):
        weights = _blobs(layer, path)
        weights.type = _text(layer.type)
        layer.ClearField("blobs")
        weights.message = layer.SerializeToString()  # with the fields that weights.proto lacks
    elif layer.HasField("layer"):
        weights = _blobs(layer.layer, path)
        weights.type = _current_type(v1_type(_text(layer.layer.type)))
    else:
        weights = _blobs(layer, path)
        weights.type = _current_type(layer.type)
    weights.bottoms, weights.tops = [*map(_text, layer.bottom)], [*map(_text, layer.top)]
    return weights


def read(path: str | os.PathLike) -> NetWeights:
    """All layers of a .caffemodel, whether their blobs are in `layer` or in the older `layers`.

    Raises CaffeError naming the file and, if it is a blob's fault, layer and blob.
    """
    net = parse_binary(path, weights_pb2.Net())
    layers = [_layer(layer, path) for layer in net.layers]
    layers += [_layer(layer, path) for layer in net.layer]
    if not any(layer.blobs for layer in layers):
        raise CaffeError(f"{path}: no layer with weights in it (expected a .caffemodel)")
    return NetWeights(layers, _text(net.name))


def write(path: str | os.PathLike, weights: NetWeights) -> None:
    """Write a binary .caffemodel, atomically; each layer with all that the net's text says of it.

    Raises CaffeError if a blob is missing because another layer owns it (see LayerWeights), or if
    protobuf cannot hold as much.
    """
    net = weights_pb2.Net(name=weights.name)
    for layer in weights.layers:
        out = net.layer.add()
        out.MergeFromString(layer.message)
        out.name, out.type = layer.name, layer.type
        out.bottom[:], out.top[:] = layer.bottoms, layer.tops
        diffs = layer.diffs or [None] * len(layer.blobs)
        for i, (blob, diff) in enumerate(zip(layer.blobs, diffs, strict=True)):
            if blob is None:
                raise CaffeError(
                    f'{path}: layer "{layer.name}", blob {i} is a shared parameter that its source '
                    "keeps with another layer; load the source into its net and save that"
                )
            out.blobs.append(blob_proto(blob, diff))
    if net.ByteSize() > _LARGEST:
        raise CaffeError(f"{path}: more than {_LARGEST} bytes do not fit; write a .h5 file")
    write_atomic(path, net.SerializeToString())
