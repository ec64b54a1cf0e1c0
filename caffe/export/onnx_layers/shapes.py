"""Layers that move numbers: cut, join, repeat, choose, reshape."""

from caffe.export.onnx_graph import Graph, Value, writes
from caffe.layer import Layer
from caffe.layers.concat import Concat
from caffe.layers.crop import Crop
from caffe.layers.dummy_data import DummyData
from caffe.layers.slice import Slice


@writes("Split")
def split(layer: Layer, graph: Graph, x: Value) -> tuple[str, ...]:
    return (x.name,) * len(layer.layer_param.top)


@writes("Silence")
def silence(layer: Layer, graph: Graph, *bottoms: Value) -> tuple[str, ...]:
    return ()


@writes("Concat")
def concat(layer: Concat, graph: Graph, *bottoms: Value) -> str:
    return graph.op("Concat", *bottoms, axis=layer.axis)


@writes("Slice")
def slice_(layer: Slice, graph: Graph, x: Value) -> tuple[str, ...]:
    axis = layer.axis
    sizes = [shape[axis] for shape in layer.top_shapes(x.shape)]
    return graph.ops("Split", len(sizes), x, sizes, axis=axis)


@writes("Flatten", "Reshape")
def reshape(layer: Layer, graph: Graph, x: Value) -> str:
    return graph.reshape(x, layer.top_shapes(x.shape)[0])


@writes("Tile")
def tile(layer: Layer, graph: Graph, x: Value) -> str:
    repeats = [1] * len(x.shape)
    repeats[layer.layer_param.tile_param.axis] = layer.layer_param.tile_param.tiles
    return graph.op("Tile", x, repeats)


@writes("Crop")
def crop(layer: Crop, graph: Graph, x: Value, reference: Value) -> str:
    axes = range(layer.axis, len(x.shape))
    ends = [
        offset + reference.shape[axis] for axis, offset in zip(axes, layer.offsets, strict=True)
    ]
    return graph.op("Slice", x, layer.offsets, ends, [*axes])


@writes("BatchReindex")
def batch_reindex(layer: Layer, graph: Graph, x: Value, index: Value) -> str:
    return graph.op("Gather", x, graph.cast(index, "int64"), axis=0)


@writes("Embed")
def embed(layer: Layer, graph: Graph, x: Value) -> str:
    rows = graph.op("Gather", graph.weight(layer, 0), graph.cast(x, "int64"), axis=0)
    has_bias = layer.layer_param.embed_param.bias_term
    return graph.op("Add", rows, graph.weight(layer, 1)) if has_bias else rows


@writes("Filter")
def filter_(layer: Layer, graph: Graph, *bottoms: Value) -> tuple[str, ...]:
    *blobs, selector = bottoms
    flat = graph.reshape(selector, selector.shape[:1])
    chosen = graph.cast(flat, "bool")
    return tuple(graph.op("Compress", x, chosen, axis=0) for x in blobs)


@writes("Parameter")
def parameter(layer: Layer, graph: Graph) -> str:
    return graph.weight(layer, 0)


@writes("DummyData")
def dummy_data(layer: DummyData, graph: Graph) -> tuple[str, ...]:
    if any(filler.type != "constant" for filler in layer.fillers):
        layer.fail("cannot go to ONNX: it fills its tops by chance")
    return tuple(graph.constant(blob.data.copy()) for blob in layer.blobs_of_tops)
