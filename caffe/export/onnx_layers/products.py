"""Layers that sum products, or take statistics, over whole axes."""

import math

import numpy as np

from caffe.axes import canonical_axis
from caffe.export.onnx_graph import Graph, Value, writes
from caffe.layer import Layer
from caffe.layers.batch_norm import BatchNorm
from caffe.layers.inner_product import InnerProduct
from caffe.proto import caffe_pb2

_REDUCTION = caffe_pb2.ReductionParameter
_REDUCING = {
    _REDUCTION.SUM: "ReduceSum",
    _REDUCTION.ASUM: "ReduceL1",
    _REDUCTION.SUMSQ: "ReduceSumSquare",
    _REDUCTION.MEAN: "ReduceMean",
}


@writes("InnerProduct")
def inner_product(layer: InnerProduct, graph: Graph, x: Value) -> str:
    outer, inner = x.shape[: layer.axis], x.shape[layer.axis :]
    rows = (math.prod(outer), math.prod(inner))
    flat = x.name if x.shape == rows else graph.reshape(x, rows)
    transpose = layer.layer_param.inner_product_param.transpose
    blobs = [graph.weight(layer, i) for i in range(len(layer.blobs))]
    y = graph.op("Gemm", flat, *blobs, transB=int(not transpose))
    return y if len(outer) == 1 else graph.reshape(y, layer.top_shapes(x.shape)[0])


@writes("Softmax")
def softmax(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.op("Softmax", x, axis=layer.layer_param.softmax_param.axis)


@writes("ArgMax")
def argmax(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.argmax_param
    flat = not param.HasField("axis")
    axis = 1 if flat else canonical_axis(layer, param.axis, len(x.shape))
    rows = graph.op("Flatten", x) if flat else x.name
    size = math.prod(x.shape[1:]) if flat else x.shape[axis]
    # TopK puts the earlier of equal numbers first, Caffe the later.
    reversed_ = graph.op("Slice", rows, [-1], [-size - 1], [axis], [-1])
    values, order = graph.ops("TopK", 2, reversed_, [param.top_k], axis=axis)
    places = graph.cast(graph.op("Sub", size - 1, order), "float32")
    if not flat:
        return values if param.out_max_val else places
    both = graph.op("Concat", places, values, axis=1) if param.out_max_val else places
    return graph.reshape(both, layer.top_shapes(x.shape)[0])


@writes("Reduction")
def reduction(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.reduction_param
    axes = [*range(canonical_axis(layer, param.axis, len(x.shape)), len(x.shape))]
    y = graph.op(_REDUCING[param.operation], x, axes, keepdims=0)
    return y if param.coeff == 1 else graph.op("Mul", y, param.coeff)


@writes("MVN")
def mvn(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.mvn_param
    kept = x.shape[: 1 if param.across_channels else 2]
    rows = graph.reshape(x, (*kept, math.prod(x.shape[len(kept) :])))
    y = graph.op("Sub", rows, graph.op("ReduceMean", rows, [-1]))
    if param.normalize_variance:
        std = graph.op("Sqrt", graph.op("ReduceMean", graph.op("Mul", y, y), [-1]))
        y = graph.op("Div", y, graph.op("Add", std, param.eps))
    return graph.reshape(y, x.shape)


@writes("Normalization")
def normalization(layer: Layer, graph: Graph, x: Value) -> str:
    axes = [*range(1, len(x.shape))]
    length = graph.op("ReduceL2", x, axes) if axes else graph.op("Abs", x)
    some = graph.op("Greater", length, 0.0)
    return graph.op("Div", x, graph.op("Where", some, length, 1.0))


def _batch_norm(graph: Graph, x: Value, eps: float, *vectors: np.ndarray) -> str:
    slope, bias, mean, var = (graph.constant(vector) for vector in vectors)
    return graph.op("BatchNormalization", x, slope, bias, mean, var, epsilon=eps)


@writes("BatchNorm")
def batch_norm(layer: BatchNorm, graph: Graph, x: Value) -> str:
    eps = layer.layer_param.batch_norm_param.eps
    if not layer.fixed:
        return _own_statistics(graph, x, eps)
    mean, var, weight = (blob.data for blob in layer.blobs)
    factor = 1 / weight if weight[0] else weight
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    rows = x if len(x.shape) > 1 else Value(graph.reshape(x, (*x.shape, 1)), (*x.shape, 1))
    y = _batch_norm(graph, rows, eps, ones, zeros, mean * factor, var * factor)
    return y if rows is x else graph.reshape(y, x.shape)


def _own_statistics(graph: Graph, x: Value, eps: float) -> str:
    """Each channel by its own mean and variance over the batch and all positions."""
    axes = [axis for axis in range(len(x.shape)) if axis != 1]
    centred = graph.op("Sub", x, graph.op("ReduceMean", x, axes))
    var = graph.op("ReduceMean", graph.op("Mul", centred, centred), axes)
    return graph.op("Div", centred, graph.op("Sqrt", graph.op("Add", var, eps)))


@writes("BN")
def bn(layer: Layer, graph: Graph, x: Value) -> str:
    param = layer.layer_param.bn_param
    if layer.phase == caffe_pb2.TRAIN and not param.frozen:
        layer.fail("cannot go to ONNX: it updates its blobs in phase TRAIN")
    return _batch_norm(graph, x, param.eps, *(blob.data.reshape(-1) for blob in layer.blobs))
