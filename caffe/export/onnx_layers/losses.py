"""Losses and Accuracy, with the formulas of their layers' docstrings."""

import math

import numpy as np

from caffe.axes import canonical_axis
from caffe.export.onnx_graph import Graph, Value, writes
from caffe.layer import Layer
from caffe.layers.cross_entropy_loss import LEAST as LEAST_PROBABILITY
from caffe.layers.infogain_loss import LEAST, InfogainLoss
from caffe.layers.softmax_with_loss import LOG_TINY
from caffe.loss import ignored, normalization
from caffe.proto import caffe_pb2

_MODES = caffe_pb2.LossParameter


def _total(graph: Graph, x: str) -> str:
    return graph.op("ReduceSum", x, keepdims=0)


def _over(graph: Graph, x: str, count: int) -> str:
    return graph.op("Div", _total(graph, x), float(count))


def _minus(graph: Graph, a: Value, b: Value) -> str:
    return graph.op("Sub", a, graph.reshape(b, a.shape))


def _log_at_least(graph: Graph, p: str | Value, least: float) -> str:
    return graph.op("Log", graph.op("Max", p, least))


@writes("EuclideanLoss", "PredictionL2Loss")
def euclidean_loss(layer: Layer, graph: Graph, a: Value, b: Value) -> str:
    gap = _minus(graph, a, b)
    return _over(graph, graph.op("Mul", gap, gap), 2 * a.shape[0])


@writes("FeatureL2Loss")
def feature_l2_loss(layer: Layer, graph: Graph, a: Value, b: Value, rois: Value) -> str:
    gap = graph.op("Flatten", _minus(graph, a, b))
    distances = graph.op("ReduceSumSquare", gap, [1], keepdims=1)  # (R, 1)
    image = graph.op("Slice", rois, [0], [1], [1])
    same = graph.op("Equal", image, graph.op("Transpose", image, perm=[1, 0]))  # (R, R)
    # Each box counts 1 / (the boxes of its image); the sum of that is the number of images.
    share = graph.op("Reciprocal", graph.op("ReduceSum", graph.cast(same, "float32"), [1]))
    sums = _total(graph, graph.op("Mul", distances, share))
    return graph.op("Div", sums, graph.op("Mul", _total(graph, share), 2.0))


@writes("ContrastiveLoss")
def contrastive_loss(layer: Layer, graph: Graph, a: Value, b: Value, label: Value) -> str:
    param, count = layer.layer_param.contrastive_loss_param, a.shape[0]
    gap = graph.op("Flatten", _minus(graph, a, b))
    square = graph.op("ReduceSumSquare", gap, [1], keepdims=0)
    length = square if param.legacy_version else graph.op("Sqrt", square)
    apart = graph.op("Relu", graph.op("Sub", param.margin, length))
    if not param.legacy_version:
        apart = graph.op("Mul", apart, apart)
    similar = graph.cast(graph.cast(graph.reshape(label, (count,)), "int64"), "bool")
    return _over(graph, graph.op("Where", similar, square, apart), 2 * count)


@writes("CrossEntropyLoss")
def cross_entropy_loss(layer: Layer, graph: Graph, p: Value, label: Value) -> str:
    y = graph.reshape(label, p.shape)
    rest = graph.op("Sub", 1.0, y)
    gains = [
        graph.op("Mul", y, _log_at_least(graph, p, LEAST_PROBABILITY)),
        graph.op("Mul", rest, _log_at_least(graph, graph.op("Sub", 1.0, p), LEAST_PROBABILITY)),
    ]
    return _over(graph, graph.op("Neg", graph.op("Add", *gains)), p.shape[0])


@writes("SigmoidCrossEntropyLoss")
def sigmoid_cross_entropy_loss(layer: Layer, graph: Graph, x: Value, target: Value) -> str:
    param, y = layer.layer_param.loss_param, graph.reshape(target, x.shape)
    # log(1 + exp(x)) - x y
    cost = graph.op("Sub", graph.op("Softplus", x), graph.op("Mul", x, y))
    valid = None
    if (ignore := ignored(param)) is not None:
        valid = graph.op("Not", graph.op("Equal", graph.cast(y, "int64"), int(ignore)))
    size = math.prod(x.shape)
    return _normalized(graph, cost, valid, param, _MODES.BATCH_SIZE, x.shape[0], size)


@writes("HingeLoss")
def hinge_loss(layer: Layer, graph: Graph, x: Value, label: Value) -> str:
    count, classes = x.shape[0], math.prod(x.shape[1:])
    index = graph.cast(graph.reshape(label, (count,)), "int64")
    signs = graph.op("OneHot", index, classes, np.array([1, -1], np.float32), axis=1)
    signed = graph.op("Mul", signs, graph.op("Flatten", x))
    margin = graph.op("Relu", graph.op("Add", signed, 1.0))
    if layer.layer_param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
        margin = graph.op("Mul", margin, margin)
    return _over(graph, margin, count)


def _labels(
    graph: Graph, label: Value, shape: tuple[int, int], ignore: int | None
) -> tuple[str, str | None]:
    """The class numbers, 0 where ignored, and where they count; None where all do."""
    index = graph.cast(graph.reshape(label, shape), "int64")
    if ignore is None:
        return index, None
    valid = graph.op("Not", graph.op("Equal", index, int(ignore)))
    return graph.op("Where", valid, index, 0), valid


def _normalized(
    graph: Graph,
    cost: str,
    valid: str | None,
    param: caffe_pb2.LossParameter,
    default: "caffe_pb2.LossParameter.NormalizationMode",
    outer: int,
    size: int,
) -> str:
    """The sum of the `size` costs that count, over what loss_param says."""
    if valid is not None:
        cost = graph.op("Where", valid, cost, 0.0)
    mode = normalization(param, default)
    if mode == _MODES.VALID and valid is not None:
        count = _total(graph, graph.cast(valid, "float32"))
        return graph.op("Div", _total(graph, cost), graph.op("Max", count, 1.0))
    counts = {_MODES.FULL: size, _MODES.VALID: size, _MODES.BATCH_SIZE: outer, _MODES.NONE: 1}
    return _over(graph, cost, max(1, counts[mode]))


def _around(layer: Layer, graph: Graph, axis: int, x: Value) -> Value:
    """x as (outer, C, inner), C being the size of `axis`."""
    axis = canonical_axis(layer, axis, len(x.shape))
    shape = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
    return Value(graph.reshape(x, shape), shape)


@writes("SoftmaxWithLoss")
def softmax_with_loss(layer: Layer, graph: Graph, x: Value, label: Value) -> tuple[str, ...]:
    param = layer.layer_param.loss_param
    rows = _around(layer, graph, layer.layer_param.softmax_param.axis, x)
    outer, _, inner = rows.shape
    log_p = graph.op("LogSoftmax", rows, axis=1)
    index, valid = _labels(graph, label, (outer, inner), ignored(param))
    own = graph.op("GatherElements", log_p, graph.op("Unsqueeze", index, [1]), axis=1)
    cost = graph.op("Neg", graph.op("Squeeze", graph.op("Max", own, LOG_TINY), [1]))
    if param.weight_by_label_freqs:
        weights = graph.constant(np.array(param.class_weighting, np.float32))
        cost = graph.op("Mul", cost, graph.op("Gather", weights, index, axis=0))
    loss = _normalized(graph, cost, valid, param, _MODES.VALID, outer, outer * inner)
    return _with_probabilities(layer, graph, loss, log_p, x)


def _with_probabilities(
    layer: Layer, graph: Graph, loss: str, log_p: str, x: Value
) -> tuple[str, ...]:
    if len(layer.layer_param.top) == 1:
        return (loss,)
    return loss, graph.reshape(graph.op("Exp", log_p), x.shape)


@writes("MultinomialLogisticLoss")
def multinomial_logistic_loss(layer: Layer, graph: Graph, p: Value, label: Value) -> str:
    index, _ = _labels(graph, label, (p.shape[0], 1), None)
    own = graph.op("GatherElements", graph.op("Flatten", p), index, axis=1)
    return _over(graph, graph.op("Neg", _log_at_least(graph, own, LEAST)), p.shape[0])


@writes("InfogainLoss")
def infogain_loss(
    layer: InfogainLoss, graph: Graph, x: Value, label: Value, *matrix: Value
) -> tuple[str, ...]:
    param = layer.layer_param.loss_param
    if layer.from_scores:
        rows = _around(layer, graph, layer.layer_param.infogain_loss_param.axis, x)
        log_p = graph.op("LogSoftmax", rows, axis=1)
    else:
        rows = Value(x.name, (x.shape[0], math.prod(x.shape[1:]), 1))
        log_p = graph.op("Log", graph.op("Max", graph.reshape(x, rows.shape), LEAST))
    outer, classes, inner = rows.shape
    index, valid = _labels(graph, label, (outer, inner), ignored(param))
    gain = matrix[0] if matrix else layer.matrix.numpy()
    own = graph.op("Gather", graph.reshape(gain, (classes, classes)), index, axis=0)
    own = graph.op("Transpose", own, perm=[0, 2, 1])  # (outer, classes, inner)
    gains = graph.op("Mul", own, graph.op("Max", log_p, math.log(LEAST)))
    cost = graph.op("Neg", graph.op("ReduceSum", gains, [1], keepdims=0))
    default = _MODES.VALID if layer.from_scores else _MODES.BATCH_SIZE
    loss = _normalized(graph, cost, valid, param, default, outer, outer * inner)
    return _with_probabilities(layer, graph, loss, log_p, x)


@writes("Accuracy")
def accuracy(layer: Layer, graph: Graph, scores: Value, label: Value) -> tuple[str, ...]:
    param = layer.layer_param.accuracy_param
    rows = _around(layer, graph, param.axis, scores)
    outer, classes, inner = rows.shape
    index, valid = _labels(graph, label, (outer, inner), ignored(param))
    truth = graph.op("Unsqueeze", index, [1])
    own = graph.op("GatherElements", rows, truth, axis=1)
    numbers = np.arange(classes).reshape(1, classes, 1)
    # Of equal scores the one of the higher class is better.
    tie = graph.op("And", graph.op("Equal", rows, own), graph.op("Greater", numbers, truth))
    better = graph.cast(graph.op("Or", graph.op("Greater", rows, own), tie), "float32")
    rank = graph.op("ReduceSum", better, [1], keepdims=0)
    hit = graph.cast(graph.op("Less", rank, float(param.top_k)), "float32")
    everywhere = np.ones((outer, inner), np.float32)
    counted = graph.constant(everywhere) if valid is None else graph.cast(valid, "float32")
    hit = graph.op("Mul", hit, counted)
    overall = _share(graph, _total(graph, hit), _total(graph, counted))
    if len(layer.layer_param.top) == 1:
        return (overall,)
    own_class = graph.cast(graph.op("Equal", numbers, truth), "float32")  # (outer, C, inner)

    def of_classes(x: str) -> str:
        each = graph.op("Mul", own_class, graph.op("Unsqueeze", x, [1]))
        return graph.op("ReduceSum", each, [0, 2], keepdims=0)

    return overall, _share(graph, of_classes(hit), of_classes(counted))


def _share(graph: Graph, part: str, whole: str) -> str:
    return graph.op("Div", part, graph.op("Max", whole, 1.0))
