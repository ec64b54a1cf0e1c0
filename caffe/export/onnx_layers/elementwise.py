"""Layers that compute each number of the top from the numbers at its place alone."""

import math
from functools import reduce

import numpy as np

from caffe.export.onnx_graph import Graph, Value, writes
from caffe.layer import Layer
from caffe.proto import caffe_pb2

_ELTWISE = caffe_pb2.EltwiseParameter


@writes("AbsVal")
def absval(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Abs", x)


@writes("BNLL")
def bnll(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Softplus", x)


@writes("Sigmoid")
def sigmoid(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Sigmoid", x)


@writes("TanH")
def tanh(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Tanh", x)


@writes("ELU")
def elu(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Elu", x, alpha=layer.layer_param.elu_param.alpha)


@writes("ReLU")
def relu(layer: Layer, graph: Graph, x: Value) -> str:
    slope = layer.layer_param.relu_param.negative_slope
    return graph.op("LeakyRelu", x, alpha=slope) if slope else graph.op("Relu", x)


@writes("PReLU")
def prelu(layer: Layer, graph: Graph, x: Value) -> str:
    behind = (1,) * (len(x.shape) - 2)
    return graph.op("PRelu", x, graph.weight(layer, 0, (layer.blobs[0].count, *behind)))


@writes("Clip")
def clip(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.clip_param
    return graph.op("Clip", x, param.min, param.max)


@writes("Swish")
def swish(layer: Layer, graph: Graph, x: Value) -> str:
    scaled = graph.op("Mul", x, layer.layer_param.swish_param.beta)
    return graph.op("Mul", x, graph.op("Sigmoid", scaled))


@writes("Threshold")
def threshold(layer: Layer, graph: Graph, x: Value) -> str:
    above = graph.op("Greater", x, layer.layer_param.threshold_param.threshold)
    return graph.op("Where", above, 1.0, 0.0)


def _linear(graph: Graph, x: Value, scale: float, shift: float) -> str:
    return graph.op("Add", graph.op("Mul", x, scale), shift)


@writes("Power")
def power(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.power_param
    base = _linear(graph, x, param.scale, param.shift)
    return base if param.power == 1 else graph.op("Pow", base, param.power)


@writes("Exp")
def exp(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.exp_param
    exponent = _linear(graph, x, param.scale, param.shift)
    if param.base != -1:
        exponent = graph.op("Mul", exponent, math.log(param.base))
    return graph.op("Exp", exponent)


@writes("Log")
def log(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.log_param
    y = graph.op("Log", _linear(graph, x, param.scale, param.shift))
    return y if param.base == -1 else graph.op("Div", y, math.log(param.base))


@writes("Dropout")
def dropout(layer: Layer, graph: Graph, x: Value) -> str:
    if layer.phase == caffe_pb2.TRAIN:
        layer.fail("cannot go to ONNX: it draws at random in phase TRAIN")
    return x.name


@writes("Eltwise")
def eltwise(layer: Layer, graph: Graph, *bottoms: Value) -> str:
    param = layer.layer_param.eltwise_param
    names = [x.name for x in bottoms]
    if param.operation == _ELTWISE.MAX:
        return graph.op("Max", *names)
    if param.operation == _ELTWISE.SUM and param.coeff:
        names = [
            name if coeff == 1 else graph.op("Mul", name, coeff)
            for name, coeff in zip(names, param.coeff, strict=True)
        ]
    kind = "Mul" if param.operation == _ELTWISE.PROD else "Add"
    return reduce(lambda one, two: graph.op(kind, one, two), names)


@writes("SpatialProduct")
def spatial_product(layer: Layer, graph: Graph, x: Value, scale: Value) -> str:
    return graph.op("Mul", x, scale)


def _aligned(shape: tuple[int, ...], axis: int, x: Value) -> tuple[int, ...]:
    """`shape` with axes of size 1 behind, so that it broadcasts from `axis` of x on."""
    behind = len(x.shape) - axis % len(x.shape) - len(shape) if shape else 0
    return (*shape, *(1,) * behind)


@writes("Scale")
def scale(layer: Layer, graph: Graph, x: Value, *second: Value) -> str:
    axis = layer.layer_param.scale_param.axis
    if second:
        factor = graph.reshape(second[0], _aligned(second[0].shape, axis, x))
    else:
        factor = graph.weight(layer, 0, _aligned(layer.blobs[0].shape, axis, x))
    y = graph.op("Mul", x, factor)
    if not layer.layer_param.scale_param.bias_term:
        return y
    last = len(layer.blobs) - 1
    return graph.op("Add", y, graph.weight(layer, last, _aligned(layer.blobs[last].shape, axis, x)))


@writes("Bias")
def bias(layer: Layer, graph: Graph, x: Value, *second: Value) -> str:
    axis = layer.layer_param.bias_param.axis
    if second:
        return graph.op("Add", x, graph.reshape(second[0], _aligned(second[0].shape, axis, x)))
    return graph.op("Add", x, graph.weight(layer, 0, _aligned(layer.blobs[0].shape, axis, x)))


@writes("BiasChannel")
def bias_channel(layer: Layer, graph: Graph, x: Value, label: Value) -> str:
    param = layer.layer_param.bias_channel_param
    channels, (batch, _, *places) = x.shape[1], label.shape
    index = graph.cast(label, "int64")
    ground = graph.op("Equal", index, param.background_label)
    push = graph.op("Where", ground, param.bg_bias, param.fg_bias)
    for none in (-1, *param.ignore_label):
        push = graph.op("Where", graph.op("Equal", index, int(none)), 0.0, push)
    hot = graph.op("OneHot", index, channels, np.array([0, 1], np.float32), axis=2)
    pushes = graph.op("Mul", hot, graph.op("Unsqueeze", push, [2]))  # (N, L, C, ...)
    total = graph.op("ReduceSum", pushes, [1], keepdims=0)
    return graph.op("Add", x, graph.reshape(total, (batch, channels, *(places or (1, 1)))))
