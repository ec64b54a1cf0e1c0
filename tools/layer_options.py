"""What a layer is and is told, native or the Python layer that tools/rewrite_net.py makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rewrite_net import TWINS

from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter


def kind_of(layer: Layer) -> str:
    """The layer's type; of a Python layer the name of its class, which is that of its twin."""
    return layer.python_param.layer if layer.type == "Python" else layer.type


def layers_of(net: caffe_pb2.NetParameter, *kinds: str) -> Iterator[Layer]:
    """The net's layers of these kinds."""
    return (layer for layer in net.layer if kind_of(layer) in kinds)


def options_of(layer: Layer) -> dict:
    """The options that are set: a Python layer's param_str, of a native layer its message."""
    if layer.type == "Python":
        return json.loads(layer.python_param.param_str or "{}")
    message = getattr(layer, TWINS[layer.type].field)
    return {field.name: value for field, value in message.ListFields()}


def set_options(layer: Layer, **values: object) -> None:
    """Set some options, leave the others."""
    if layer.type == "Python":
        layer.python_param.param_str = json.dumps(options_of(layer) | values)
        return
    message = getattr(layer, TWINS[layer.type].field)
    for name, value in values.items():
        setattr(message, name, value)
