"""Datum messages: the images inside a database."""

import math

import numpy as np
from google.protobuf.message import DecodeError

from caffe.data import image
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


def read(content: bytes, color: bool | None) -> tuple[np.ndarray, int]:
    """A serialized Datum as (image (H, W, C), label); uint8, or float32 from `float_data`.

    color: channels of an encoded image, see `image.decode`; a raw one has the channels it has.
    Raises CaffeError if it is no Datum or holds fewer or more numbers than its sizes say.
    """
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(content)
    except DecodeError:
        raise CaffeError(f"expected a Datum, got {len(content)} bytes that do not parse") from None
    if datum.encoded:
        return image.decode(datum.data, color), datum.label
    if datum.data:
        flat = np.frombuffer(datum.data, np.uint8)
    else:
        flat = np.array(datum.float_data, np.float32)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) <= 0 or flat.size != math.prod(shape):
        raise CaffeError(
            f"expected a Datum with an image (C, H, W) {shape}, got {flat.size} numbers"
        )
    return flat.reshape(shape).transpose(1, 2, 0), datum.label
