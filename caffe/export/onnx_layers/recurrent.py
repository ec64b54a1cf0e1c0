"""Recurrent layers, written out step by step."""

import numpy as np

from caffe.export.onnx_graph import Graph, Operand, Value, writes
from caffe.layer import Layer
from caffe.recurrent import RecurrentLayer


def _lstm_unit(
    graph: Graph, c: Operand, gates: Operand, cont: Operand, axis: int
) -> tuple[str, str]:
    """The new c and h, from gates i, f, o, g one behind the other along `axis`."""
    i, f, o, g = graph.ops("Split", 4, gates, axis=axis, num_outputs=4)
    i, f, o = (graph.op("Sigmoid", gate) for gate in (i, f, o))
    kept = graph.op("Mul", graph.op("Mul", cont, f), c)
    c = graph.op("Add", kept, graph.op("Mul", i, graph.op("Tanh", g)))
    return c, graph.op("Mul", o, graph.op("Tanh", c))


@writes("LSTMUnit")
def lstm_unit(layer: Layer, graph: Graph, c: Value, gates: Value, cont: Value) -> tuple[str, ...]:
    return _lstm_unit(graph, c, gates, graph.op("Unsqueeze", cont, [2]), axis=2)


def _inputs(layer: RecurrentLayer, graph: Graph, x: Value, static: Value | None) -> list[str]:
    """W_x x_t + b + W_static x_static of each step, (N, gates H)."""
    steps, streams = x.shape[:2]
    rows = graph.reshape(x, (steps * streams, layer.blobs[0].shape[1]))
    weight_x, bias = graph.weight(layer, 0), graph.weight(layer, 1)
    own = graph.op("Gemm", rows, weight_x, bias, transB=1)
    own = graph.reshape(own, (steps, streams, layer.blobs[0].shape[0]))
    if static is not None:
        flat = graph.reshape(static, (streams, layer.blobs[2].shape[1]))
        own = graph.op("Add", own, graph.op("Gemm", flat, graph.weight(layer, 2), transB=1))
    return [graph.op("Squeeze", step, [0]) for step in _steps(graph, own, steps)]


def _steps(graph: Graph, x: Operand, steps: int) -> tuple[str, ...]:
    return graph.ops("Split", steps, x, axis=0, num_outputs=steps)


@writes("LSTM", "RNN")
def recurrent(
    layer: RecurrentLayer, graph: Graph, x: Value, cont: Value, *rest: Value
) -> tuple[str, ...]:
    steps, streams = cont.shape
    static, given = (rest[0], rest[1:]) if layer.has_static else (None, rest)
    shape = (streams, layer.layer_param.recurrent_param.num_output)
    states = [graph.reshape(state, shape) for state in given]
    states = states or [
        graph.constant(np.zeros(shape, np.float32)) for _ in layer.states
    ]  # a first pass starts from these
    weight_h = graph.weight(layer, 3 if layer.has_static else 2)
    hidden = []
    kept = _steps(graph, graph.reshape(cont, (steps, streams, 1)), steps)
    for own, keep in zip(_inputs(layer, graph, x, static), kept, strict=True):
        column = graph.op("Squeeze", keep, [0])
        before = graph.op("Mul", column, states[0])
        gates = graph.op("Gemm", before, weight_h, own, transB=1)
        if layer.type == "RNN":
            states = [graph.op("Tanh", gates)]
        else:
            c, h = _lstm_unit(graph, states[1], gates, column, axis=1)
            states = [h, c]
        hidden.append(graph.op("Unsqueeze", states[0], [0]))
    top = graph.op("Concat", *hidden, axis=0)
    if layer.type == "RNN":
        top = _outputs(layer, graph, top, (steps, *shape))
    return (top, *(graph.op("Unsqueeze", state, [0]) for state in states[: len(layer.exposed)]))


def _outputs(layer: Layer, graph: Graph, hidden: str, shape: tuple[int, int, int]) -> str:
    """tanh(W_ho h + b_o) of all steps."""
    steps, streams, units = shape
    last = len(layer.blobs) - 1
    rows = graph.reshape(hidden, (steps * streams, units))
    y = graph.op("Gemm", rows, graph.weight(layer, last - 1), graph.weight(layer, last), transB=1)
    return graph.reshape(graph.op("Tanh", y), shape)
