"""A net as an ONNX model: one function per layer type in onnx_layers/, run by onnxruntime."""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch

import caffe.export.onnx_layers  # noqa: F401  registers what writes each layer type
from caffe.errors import CaffeError
from caffe.export.onnx_graph import Graph, Value, writer_of
from caffe.export.verify import check_outputs
from caffe.layer import Layer
from caffe.net import Net

_OPSET, _IR = 18, 8  # of 2022, which every runtime in use reads
_MOST = 2**31 - 1  # bytes of a protobuf message


def model(net: Net) -> bytes:
    """The net as a serialized ModelProto; inputs and outputs are called as its blobs.

    Shapes are the net's own. A recurrent layer that is given no state starts from zeros.
    Raises CaffeError naming the layer that ONNX cannot express, or without the package onnx.
    """
    onnx = optional("onnx")
    check_outputs(net)
    graph = Graph(taken={*net.blobs})
    outputs = _write_layers(net, graph)
    size = sum(array.nbytes for array in graph.constants.values())
    if size > _MOST:
        raise CaffeError(f'net "{net.name}": {size} bytes of weights; an ONNX file holds {_MOST}')
    made = _proto(onnx, net, graph, outputs)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs that onnxruntime computes on the CPU. CaffeError without that package."""
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}
    fed = {name: array for name, array in inputs.items() if name in wanted}
    return dict(zip(names, session.run(names, fed), strict=True))


def optional(name: str) -> ModuleType:
    """A package of the extra `export`. Raises CaffeError if it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise CaffeError(
            f"the Python package {name} is not installed; get it with: pip install -e '.[export]'"
        ) from None


def _write_layers(net: Net, graph: Graph) -> list[Value]:
    """Fill the graph; the net's outputs."""
    keys = {id(layer): key for key, layer in net.named_layers()}
    layers = net._layers
    last = {name: i for i, layer in enumerate(layers) for name in layer.layer_param.top}
    now: dict[str, Value] = {}
    for i, layer in enumerate(layers):
        graph.layer = keys.get(id(layer), layer.name)
        bottoms = [now[name] for name in layer.layer_param.bottom]
        names = list(layer.layer_param.top)
        if layer.type == "Input":
            now |= {name: Value(name, net.blobs[name].shape) for name in names}
            continue
        tops, shapes = _write(net, layer, graph, bottoms)
        for name, value, shape in zip(names, tops, shapes, strict=True):
            # What a later layer changes in place is not yet the blob; an input keeps its name.
            if last[name] == i and name not in net.inputs:
                value = graph.name_top(value, name, copy=name in net.outputs)
            now[name] = Value(value, shape)
        for name in {*names} & {*net.inputs} & {*net.outputs}:
            layer.fail(f'cannot go to ONNX: its top "{name}" is an input too; call it otherwise')
    return [now[name] for name in net.outputs if name not in net.inputs]


def _write(
    net: Net, layer: Layer, graph: Graph, bottoms: list[Value]
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """The names of the layer's tops, and their shapes."""
    writer = writer_of(layer.type)
    if writer is None:
        _refuse(layer)
    if layer.type == "Filter" and not {*layer.layer_param.top} <= {*net.outputs}:
        layer.fail("cannot go to ONNX before other layers: how many rows it passes is not fixed")
    tops = writer(layer, graph, *bottoms)
    shapes = layer.top_shapes(*(x.shape for x in bottoms))
    return (tops,) if isinstance(tops, str) else tops, shapes


def _refuse(layer: Layer) -> NoReturn:
    reason = "no standard operators compute it"
    if layer.type == "Python":
        reason = "it runs Python code of the user's"
    elif not layer.layer_param.bottom or not layer.layer_param.top:
        reason = "it reads or writes data; export a deploy net, whose inputs are Input layers"
    layer.fail(f"cannot go to ONNX: {reason}")


def _proto(onnx: Any, net: Net, graph: Graph, outputs: list[Value]) -> Any:
    helper, filtered = onnx.helper, set()
    for layer in net._layers:
        filtered |= {*layer.layer_param.top} if layer.type == "Filter" else set()

    def typed(value: Value) -> Any:
        shape = ["rows", *value.shape[1:]] if value.name in filtered else value.shape
        return helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node(node.kind, node.inputs, node.outputs, node.outputs[0], **node.attributes)
        for node in graph.nodes
    ]
    constants = [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()]
    inputs = [typed(Value(name, net.blobs[name].shape)) for name in net.inputs]
    made = helper.make_graph(nodes, net.name or "net", inputs, [*map(typed, outputs)], constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=_IR, producer_name="caffe")
