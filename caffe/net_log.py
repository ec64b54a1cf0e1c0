"""What Caffe logs while it builds a net."""

import logging
import math
from collections.abc import Mapping, Sequence

from google.protobuf import text_format

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


class NetLog:
    """Logs a net's layers as they are made, each with its tops' shapes and the memory so far."""

    def __init__(self, param: caffe_pb2.NetParameter) -> None:
        self._bytes = 0
        if _log.isEnabledFor(logging.INFO):
            text = text_format.MessageToString(param)
            _log.info("Initializing net from parameters: \n%s", text)

    def creating(self, param: caffe_pb2.LayerParameter) -> None:
        """A layer that is about to be made."""
        _log.info("Creating Layer %s", param.name)
        for name in param.bottom:
            _log.info("%s <- %s", param.name, name)
        for j, name in enumerate(param.top):
            place = " (in-place)" if list(param.bottom[j : j + 1]) == [name] else ""
            _log.info("%s -> %s%s", param.name, name, place)

    def made(self, layer: Layer, shapes: Sequence[Shape], weights: Mapping[int, float]) -> None:
        """A layer that was made; weights: the loss weights of its tops by their place."""
        _log.info("Setting up %s", layer.name)
        for j, shape in enumerate(shapes):
            count = math.prod(shape)
            self._bytes += 4 * count
            _log.info("Top shape: %s", " ".join([*map(str, shape), f"({count})"]))
            if weights.get(j):
                _log.info("    with loss weight %g", weights[j])
        _log.info("Memory required for data: %d", self._bytes)

    def done(self, outputs: Sequence[str]) -> None:
        for name in outputs:
            _log.info("This network produces output %s", name)
        _log.info("Network initialization done.")
