"""Layers with a sliding window, and resizing: convolutions, pooling, LRN, Interp."""

import math

import numpy as np
import torch

from caffe.export.onnx_graph import Graph, Value, writes
from caffe.layer import Layer
from caffe.layers.convolution import Convolution
from caffe.layers.im2col import Im2col
from caffe.layers.interp import Interp
from caffe.layers.pooling import Pooling
from caffe.layers.spp import SPP
from caffe.pooling import Window
from caffe.proto import caffe_pb2

_POOL = caffe_pb2.PoolingParameter  # whose numbers SPP shares


def _slide(
    layer: Convolution | Im2col, graph: Graph, kind: str, x: Value, *weights: str, group: int
) -> str:
    """A Conv or ConvTranspose over (N, C, S...), whatever number of axes is before C."""
    rows = (math.prod(x.shape[: layer.axis]), *x.shape[layer.axis :])
    spatial = len(rows) - 2
    if spatial > 3:
        layer.fail(f"cannot go to ONNX: runtimes know 3 spatial axes at most, it has {spatial}")
    rows = rows if spatial else (*rows, 1)  # a kernel over no axes is one of size 1 over one
    top = graph.op(
        kind,
        x if rows == x.shape else graph.reshape(x, rows),
        *weights,
        strides=layer.stride or (1,),
        pads=2 * (layer.pad or (0,)),
        dilations=layer.dilation or (1,),
        group=group,
    )
    return top if rows == x.shape else graph.reshape(top, layer.top_shapes(x.shape)[0])


@writes("Convolution", "Deconvolution")
def convolution(layer: Convolution, graph: Graph, *bottoms: Value) -> tuple[str, ...]:
    kind = "ConvTranspose" if layer.type == "Deconvolution" else "Conv"
    shape = layer.blobs[0].shape
    weights = [graph.weight(layer, 0, shape if len(shape) > 2 else (*shape, 1))]
    weights += [graph.weight(layer, 1)] if len(layer.blobs) > 1 else []
    group = layer.layer_param.convolution_param.group
    return tuple(_slide(layer, graph, kind, x, *weights, group=group) for x in bottoms)


@writes("Im2col")
def im2col(layer: Im2col, graph: Graph, x: Value) -> str:
    # A convolution of each channel with filters that hold a single 1.
    channels, cells = x.shape[layer.axis], math.prod(layer.kernel)
    ones = np.tile(np.eye(cells, dtype=np.float32), (channels, 1))
    filters = graph.constant(ones.reshape(channels * cells, 1, *layer.kernel))
    return _slide(layer, graph, "Conv", x, filters, group=channels)


def _like(x: Value) -> torch.Tensor:
    """Something of x's shape, which is all that the rules for windows look at."""
    return torch.empty(x.shape, device="meta")


def _window(layer: Layer, x: Value, window: Window) -> dict[str, list[int]]:
    """The window as an operator's attributes, with the border that makes every place whole."""
    left, right, top, bottom = window.borders(_like(x))
    pads = [top, left, bottom, right]
    if any(p >= k for p, k in zip(pads, 2 * window.kernel, strict=True)):
        layer.fail("cannot go to ONNX: its last window lies outside the map, where ONNX has none")
    return {"kernel_shape": [*window.kernel], "strides": [*window.stride], "pads": pads}


def _max(layer: Layer, graph: Graph, x: Value, window: Window) -> tuple[str, ...]:
    """The maxima and, where the layer has a second top, their places."""
    if len(layer.layer_param.top) == 1:
        return (graph.op("MaxPool", x, **_window(layer, x, window)),)
    y, place = graph.ops("MaxPool", 2, x, **_window(layer, x, window))
    # ONNX counts the place in the whole tensor.
    return y, graph.cast(graph.op("Mod", place, math.prod(x.shape[2:])), "float32")


def _mean(layer: Layer, graph: Graph, x: Value, window: Window) -> str:
    """The mean of each window's cells, borders included."""
    return graph.op("AveragePool", x, count_include_pad=1, **_window(layer, x, window))


def _average(layer: Layer, graph: Graph, x: Value, window: Window) -> str:
    y, cells = _mean(layer, graph, x, window), window.cells(_like(x)).numpy()
    factor = math.prod(window.kernel) / cells.astype(np.float32)
    return y if (factor == 1).all() else graph.op("Mul", y, factor)


def _expected(layer: Layer, graph: Graph, x: Value, window: Window) -> str:
    """sum x^2 / sum x of each window, 0 where that is 0 / 0."""
    if layer.phase == caffe_pb2.TRAIN:
        layer.fail("cannot go to ONNX: it draws at random in phase TRAIN")
    total = _mean(layer, graph, x, window)
    square = _mean(layer, graph, Value(graph.op("Mul", x, x), x.shape), window)
    some = graph.op("Greater", total, 0.0)
    ratio = graph.op("Div", square, graph.op("Where", some, total, 1.0))
    return graph.op("Where", some, ratio, 0.0)


def _pool(layer: Layer, graph: Graph, x: Value, window: Window, method: int) -> tuple[str, ...]:
    if method == _POOL.AVE:
        return (_average(layer, graph, x, window),)
    if method == _POOL.STOCHASTIC:
        return (_expected(layer, graph, x, window),)
    return _max(layer, graph, x, window)


@writes("Pooling")
def pooling(layer: Pooling, graph: Graph, x: Value) -> tuple[str, ...]:
    param = layer.layer_param.pooling_param
    whole = Window(x.shape[2:], (1, 1), (0, 0))
    return _pool(layer, graph, x, whole if param.global_pooling else layer.window, param.pool)


@writes("SPP")
def spp(layer: SPP, graph: Graph, x: Value) -> str:
    param = layer.layer_param.spp_param
    windows = [layer.window(2**i, x.shape[2:]) for i in range(param.pyramid_height)]
    levels = [_pool(layer, graph, x, window, param.pool)[0] for window in windows]
    if len(levels) == 1:
        return levels[0]
    return graph.op("Concat", *(graph.op("Flatten", level) for level in levels), axis=1)


@writes("LRN")
def lrn(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.lrn_param
    size = param.local_size
    if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
        return graph.op("LRN", x, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)
    window = Window((size, size), (1, 1), (size // 2, size // 2))
    mean = _mean(layer, graph, Value(graph.op("Mul", x, x), x.shape), window)
    norm = graph.op("Add", graph.op("Mul", mean, param.alpha), 1.0)
    return graph.op("Mul", x, graph.op("Pow", norm, -param.beta))


@writes("Interp")
def interp(layer: Interp, graph: Graph, x: Value) -> str:
    param = layer.layer_param.interp_param
    source = x.name
    if param.pad_beg or param.pad_end:
        ends = [size + param.pad_end for size in x.shape[2:]]
        source = graph.op("Slice", x, [-param.pad_beg] * 2, ends, [2, 3])
    return graph.op(
        "Resize",
        source,
        None,
        None,
        [*layer.top_shapes(x.shape)[0]],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
