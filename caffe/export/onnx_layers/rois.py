"""Layers that read boxes: rois (R, 6) or (R, 5), as caffe/ops/rois.py describes them."""

import math

import numpy as np

from caffe.export.onnx_graph import Graph, Operand, Value, writes
from caffe.layer import Layer
from caffe.layers.roi_spatial_pyramid_pooling import ROISpatialPyramidPooling
from caffe.proto import caffe_pb2

Factors = caffe_pb2.ROIPoolingParameter | caffe_pb2.ROISpatialPyramidPoolingParameter


def _columns(graph: Graph, rois: Value, first: int, end: int) -> str:
    return graph.op("Slice", rois, [first], [end], [1])


def _weigh(graph: Graph, x: str, axes: int, rois: Value, param: Factors) -> str:
    """x (R, ...), each box times score_scale * score + score_bias."""
    if rois.shape[1] == 5 or (param.score_scale == 0 and param.score_bias == 1):
        return x
    scaled = graph.op("Mul", _columns(graph, rois, 5, 6), param.score_scale)
    factor = graph.op("Add", scaled, param.score_bias)
    return graph.op("Mul", x, graph.reshape(factor, (rois.shape[0], *[1] * (axes - 1))))


def _pool(graph: Graph, maps: Value, boxes: Operand, grid: tuple[int, int], scale: float) -> str:
    return graph.op("MaxRoiPool", maps, boxes, pooled_shape=grid, spatial_scale=scale)


@writes("ROIPooling")
def roi_pooling(layer: Layer, graph: Graph, maps: Value, rois: Value) -> str:
    param = layer.layer_param.roi_pooling_param
    boxes = rois.name if rois.shape[1] == 5 else _columns(graph, rois, 0, 5)
    grid = (param.pooled_h, param.pooled_w)
    pooled = _pool(graph, maps, boxes, grid, param.spatial_scale)
    return _weigh(graph, pooled, 4, rois, param)


@writes("ROISpatialPyramidPooling")
def roi_pyramid(layer: ROISpatialPyramidPooling, graph: Graph, maps: Value, rois: Value) -> str:
    param = layer.layer_param.roi_spatial_pyramid_pooling_param
    boxes = rois.name if rois.shape[1] == 5 else _columns(graph, rois, 0, 5)
    levels = [_pool(graph, maps, boxes, grid, param.spatial_scale) for grid in layer.grids]
    joined = graph.op("Concat", *(graph.op("Flatten", level) for level in levels), axis=1)
    return _weigh(graph, joined, 2, rois, param)


@writes("ScoreWeightedConcat")
def score_weighted_concat(layer: Layer, graph: Graph, *bottoms: Value) -> str:
    *features, rois = bottoms
    joined = graph.op("Concat", *(graph.op("Flatten", x) for x in features), axis=1)
    return graph.op("Mul", joined, _columns(graph, rois, 5, 6))


def _numbered(graph: Graph, x: Value) -> tuple[str, str]:
    """The boxes of all images as (N B, 5), and the image of each (N B, 1)."""
    count = math.prod(x.shape[1:]) // 5
    image = np.repeat(np.arange(x.shape[0], dtype=np.float32), count)[:, None]
    return graph.reshape(x, (x.shape[0] * count, 5)), graph.constant(image)


@writes("WsdRoigen")
def wsd_roigen(layer: Layer, graph: Graph, boxes: Value) -> str:
    rows, image = _numbered(graph, boxes)
    return graph.op("Concat", image, rows, axis=1)


@writes("WsdRoigenSingleScale")
def wsd_roigen_single_scale(layer: Layer, graph: Graph, boxes: Value) -> str:
    param = layer.layer_param.roi_pooling_param
    rows, image = _numbered(graph, boxes)
    corners, score = graph.ops("Split", 2, rows, [4, 1], axis=1)
    scaled = graph.op("Mul", corners, float(param.single_scale))
    scaled = graph.op("Div", scaled, float(param.origin_scale))
    whole = graph.op("Mul", graph.op("Sign", scaled), graph.op("Floor", graph.op("Abs", scaled)))
    return graph.op("Concat", image, whole, score, axis=1)
