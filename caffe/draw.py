"""Nets as pictures: pycaffe's `draw`, by pydot and Graphviz.

    caffe.draw.draw_net_to_file(net_parameter, "net.png", "TB")

Layers are boxes (red: convolution, orange: pooling, violet: inner product, green: in place, blue:
any other), blobs are grey octagons. An edge to a blob tells how many channels or items it has where
the net says so.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pydot
from google.protobuf.message import Message

from caffe import graph
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.proto import caffe_pb2
from caffe.upgrade import upgrade_net

LAYER_STYLE_DEFAULT: dict[str, Any] = {"shape": "box", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE: dict[str, Any] = {"shape": "box", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE: dict[str, Any] = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}
_COLORS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_WITH_BIAS = ("Convolution", "Deconvolution", "InnerProduct")
_DIRECTIONS = ("LR", "RL", "TB", "BT")


def get_pooling_types_dict() -> dict[int, str]:
    """{number: name} of the ways of pooling: 0 is MAX."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What an edge to the layer's top tells: the batch's size, the channels, or nothing."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, ...]:
    """lr_mult of each of the layer's parameters; 1 for weights and bias of which it is not said."""
    given = tuple(spec.lr_mult for spec in layer.param)
    default = (1.0, 1.0) if layer.type in _WITH_BIAS else ()
    return given + default[len(given) :]


def _sizes(param: Message, field: str, default: int) -> str:
    """The field of a window in words: 3, or 3x7."""
    height, width = (f"{field.removesuffix('_size')}_{axis}" for axis in "hw")
    if height in param.DESCRIPTOR.fields_by_name and param.HasField(height):
        values = [getattr(param, height), getattr(param, width)]
    else:
        value = getattr(param, field)
        values = [value] if isinstance(value, int) else list(value)
    return "x".join(map(str, values or [default]))


def _window(layer: caffe_pb2.LayerParameter) -> list[str]:
    """Kernel, stride, pad and dilation of a layer with a sliding window."""
    pools = layer.type == "Pooling"
    param: Message = layer.pooling_param if pools else layer.convolution_param
    if pools and layer.pooling_param.global_pooling:
        return ["kernel size: all"]
    words = [
        f"kernel size: {_sizes(param, 'kernel_size', 1)}",
        f"stride: {_sizes(param, 'stride', 1)}",
        f"pad: {_sizes(param, 'pad', 0)}",
    ]
    dilated = not pools and any(step != 1 for step in layer.convolution_param.dilation)
    return words + ([f"dilation: {_sizes(param, 'dilation', 1)}"] if dilated else [])


def get_layer_label(
    layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False
) -> str:
    """The layer's name, type and window; with `display_lrm` also what multiplies its learning rate.

    In one line where the net runs from top to bottom, for layers have room at their sides then.
    """
    words = [layer.name, f"({layer.type})"]
    if layer.type == "Pooling":
        words[1] = f"({get_pooling_types_dict()[layer.pooling_param.pool]} Pooling)"
    if layer.type in ("Convolution", "Deconvolution", "Pooling"):
        words += _window(layer)
    multipliers = get_layer_lr_mult(layer) if display_lrm else ()
    if multipliers:
        words.append("lr mult: " + ", ".join(f"{value:g}" for value in multipliers))
    return (" " if rankdir in ("TB", "BT") else "\n").join(words)


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer that does not work in place."""
    return _COLORS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def _layer_node(
    name: str, layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool
) -> pydot.Node:
    in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
    color = choose_color_by_layertype(layer.type)
    style = NEURON_LAYER_STYLE if in_place else {**LAYER_STYLE_DEFAULT, "fillcolor": color}
    return pydot.Node(name, label=get_layer_label(layer, rankdir, display_lrm), **style)


def _drawn(
    caffe_net: caffe_pb2.NetParameter, phase: "caffe_pb2.Phase | None"
) -> caffe_pb2.NetParameter:
    """The net as of today, with the layers of `phase` or, if that is None, all of them."""
    net = caffe_pb2.NetParameter()
    net.CopyFrom(caffe_net)
    upgrade_net(net, f'net "{net.name}"')
    if phase is None:
        return net
    net.state.MergeFrom(caffe_pb2.NetState(phase=phase))
    return graph.filter_net(net)


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: "caffe_pb2.Phase | None" = None,
    display_lrm: bool = False,
) -> pydot.Dot:
    """The net as a graph of pydot's.

    rankdir: the direction it runs in, "LR", "RL", "TB" or "BT". phase: caffe.TRAIN or caffe.TEST
    for the layers of that phase alone. display_lrm: also show what multiplies learning rates.
    Raises CaffeError for another direction.
    """
    if rankdir not in _DIRECTIONS:
        raise CaffeError(f"rankdir: expected one of {', '.join(_DIRECTIONS)}, got {rankdir}")
    net = _drawn(caffe_net, phase)
    drawn = pydot.Dot(net.name or "Net", graph_type="digraph", rankdir=rankdir)
    blobs: dict[str, str] = {}

    def blob(name: str) -> str:
        if name not in blobs:
            blobs[name] = f"blob{len(blobs)}"
            drawn.add_node(pydot.Node(blobs[name], label=name, **BLOB_STYLE))
        return blobs[name]

    for index, layer in enumerate(net.layer):
        node = f"layer{index}"  # names of layers may come twice
        drawn.add_node(_layer_node(node, layer, rankdir, display_lrm))
        label = get_edge_label(layer) if label_edges else ""
        for name in layer.bottom:
            drawn.add_edge(pydot.Edge(blob(name), node))
        for name in layer.top:
            drawn.add_edge(pydot.Edge(node, blob(name), label=label))
    return drawn


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: "caffe_pb2.Phase | None" = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture of a net in one of Graphviz's formats: png, svg, pdf, dot, ...

    rankdir, phase, display_lrm: see get_pydot_graph. Raises CaffeError if Graphviz's program `dot`
    is missing or does not know the format.
    """
    text = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).to_string()
    try:
        done = subprocess.run(["dot", f"-T{ext}"], input=text.encode(), capture_output=True)
    except FileNotFoundError:
        raise CaffeError(
            "drawing nets needs Graphviz, whose program dot is not on PATH; install it, such as by "
            "apt install graphviz, brew install graphviz or conda install graphviz"
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise CaffeError(f'cannot draw the net as "{ext}": Graphviz says: {said}')
    return done.stdout


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | os.PathLike,
    rankdir: str = "LR",
    phase: "caffe_pb2.Phase | None" = None,
    display_lrm: bool = False,
) -> None:
    """`draw_net` into a file, whose ending says the format.

    Raises CaffeError also if there is no ending or the file cannot be written.
    """
    ext = Path(filename).suffix.removeprefix(".")
    if not ext:
        raise CaffeError(f"{filename}: expected an ending that says the format, such as .png")
    write_atomic(filename, draw_net(caffe_net, rankdir, ext, phase, display_lrm))
