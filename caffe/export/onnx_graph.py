"""An ONNX graph as it grows: nodes and constants by name, and which function writes which layer.

Every function of caffe/export/onnx_layers writes one layer type as standard operators:

    @writes("Exp")
    def exp(layer: Layer, graph: Graph, x: Value) -> str: ...

It takes the values of the layer's bottoms and returns the names of those of its tops. What the
layer's fields mean it reads from the layer as the net has set it up. It calls `layer.fail` for what
cannot be said in ONNX. Shapes are the net's and fixed.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from caffe.blob import Blob
from caffe.layer import Layer, Shape


class Value(NamedTuple):
    """What a node computes or the graph takes: float32 of this shape."""

    name: str
    shape: Shape


class Node(NamedTuple):
    """One operator; `layer` says where it comes from."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    layer: str


_TYPES = {"float32": 1, "int64": 7, "bool": 9}  # as ONNX numbers them

Operand = str | Value | np.ndarray | Sequence[int] | float | None
Writer = Callable[..., str | tuple[str, ...]]
_WRITERS: dict[str, Writer] = {}


def writes(*layer_types: str) -> Callable[[Writer], Writer]:
    """Make the decorated function the one for these layer types."""

    def add(writer: Writer) -> Writer:
        _WRITERS.update(dict.fromkeys(layer_types, writer))
        return writer

    return add


def writer_of(layer_type: str) -> Writer | None:
    """The function that writes this layer type, None if there is none."""
    return _WRITERS.get(layer_type)


class Graph:
    """Nodes in order, constants by name. The names given out never clash with `taken`."""

    def __init__(self, taken: set[str]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.layer = ""  # the key of the one being written
        self._taken = set(taken)
        self._blobs: dict[tuple[int, Shape], str] = {}

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> str:
        """Add an operator with one output; the output's name.

        Numbers become float32 constants, lists of whole numbers int64 ones, None is an input left
        out.
        """
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: Operand, **attributes: Any) -> tuple[str, ...]:
        """`op` for an operator with several outputs."""
        names = [self._new(f"/{self.layer}/{kind}") for _ in range(outputs)]
        given = [self._operand(value) for value in inputs]
        self.nodes.append(Node(kind, given, names, attributes, self.layer))
        return tuple(names)

    def weight(self, layer: Layer, index: int, shape: Shape | None = None) -> str:
        """A blob of the layer as a constant, in another shape of the same count if one is given."""
        blob: Blob = layer.blobs[index]
        wanted = blob.shape if shape is None else shape
        key = (id(blob.owner), wanted)
        if key not in self._blobs:
            name = self._new(f"{self.layer}.{index}")
            self.constants[name] = blob.data.reshape(wanted)
            self._blobs[key] = name
        return self._blobs[key]

    def reshape(self, x: Operand, shape: Sequence[int]) -> str:
        """The numbers of x in another shape."""
        # allowzero: a 0 is an empty axis, not one to copy
        return self.op("Reshape", x, [*shape], allowzero=int(0 in shape))

    def cast(self, x: Operand, to: str) -> str:
        """The numbers of x as "float32", "int64" (cut off to whole ones) or "bool" (not 0)."""
        return self.op("Cast", x, to=_TYPES[to])

    def name_top(self, value: str, name: str, copy: bool) -> str:
        """Call what the layer made by its blob's name; the name that it has then.

        What others made keeps its own, unless `copy` asks for one more value of that name.
        """
        mine = [node for node in self.nodes if node.layer == self.layer]
        if not any(value in node.outputs for node in mine):
            if not copy:
                return value
            self.nodes.append(Node("Identity", [value], [name], {}, self.layer))
            return name
        for node in mine:
            for names in (node.inputs, node.outputs):
                names[:] = [name if old == value else old for old in names]
        return name

    def constant(self, array: np.ndarray) -> str:
        """These numbers, under a name of their own."""
        name = self._new(f"/{self.layer}/constant")
        self.constants[name] = array
        return name

    def _operand(self, value: Operand) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, Value):
            return value.name
        if isinstance(value, np.ndarray):
            return self.constant(value)
        return self.constant(np.array(value, np.float32 if isinstance(value, float) else np.int64))

    def _new(self, stem: str) -> str:
        name, count = stem, 0
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name
