"""Nets written as Python: pycaffe's `NetSpec`, `layers` and `params`.

    from caffe import layers as L, params as P

    n = caffe.NetSpec()
    n.data, n.label = L.Data(ntop=2, source="train_lmdb", batch_size=32, backend=P.Data.LMDB)
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=20, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label, loss_weight=2)
    print(n.to_proto())  # a NetParameter, so this prints the prototxt

A keyword sets the field of that name in the layer type's own message (`kernel_size` of Convolution
in `convolution_param`) and, if that has no such field, in LayerParameter (`loss_weight`, `phase`,
`param`, `include`, `pooling_param`, ...). Messages are dicts, repeated fields lists or one value,
enums numbers, names or `P.<Message>.<NAME>`. A mistake raises CaffeError where the layer is made.
"""

import difflib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2


class BottomError(CaffeError, TypeError):
    """A bottom that is no Top; pycaffe raises TypeError, so scripts may catch that."""


def param_name_dict() -> dict[str, str]:
    """Layer type -> the stem of its own field: "convolution" (_param) for "Convolution"."""
    stems = {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
        if field.message_type and field.name.endswith("_param")
    }
    return OrderedDict(sorted(stems.items()))


_STEMS = param_name_dict()


def _field(message: Message, name: str, owner: str) -> Any:
    """The field's descriptor, whose class depends on how protobuf is built."""
    fields = message.DESCRIPTOR.fields_by_name
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise CaffeError(f'{owner}: {message.DESCRIPTOR.name} has no field "{name}"{hint}')
    return fields[name]


def _scalar(field: Any, value: Any) -> Any:
    by_name = field.enum_type and isinstance(value, str)
    return field.enum_type.values_by_name[value].number if by_name else value


def assign_proto(proto: Message, name: str, val: Any, owner: str = "assign_proto") -> None:
    """Set the field `name` of a message: dicts for messages, a list or one value if repeated.

    Raises CaffeError, `owner` in front, if there is no such field or it cannot be `val`.
    """
    field, target = _field(proto, name, owner), getattr(proto, name)
    repeated = hasattr(target, "extend")
    values = val if repeated and isinstance(val, list | tuple) else [val]
    try:
        if field.message_type:
            for item in values:
                _merge(target.add() if repeated else target, item, owner)
        elif repeated:
            target.extend([_scalar(field, item) for item in values])
        else:
            setattr(proto, name, _scalar(field, val))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CaffeError(f"{owner}: field {name} cannot be {val!r}: {error}") from None


def _merge(message: Message, values: Mapping[str, Any], owner: str) -> None:
    """Set the fields of `message` from a dict; an empty one still makes it present."""
    message.SetInParent()
    for name, value in values.items():
        assign_proto(message, name, value, owner)


def _layer_param(type_name: str, params: Mapping[str, Any]) -> caffe_pb2.LayerParameter:
    layer = caffe_pb2.LayerParameter(type=type_name)
    own = getattr(layer, f"{_STEMS[type_name]}_param") if type_name in _STEMS else layer
    for name, value in params.items():
        inside = name in own.DESCRIPTOR.fields_by_name
        assign_proto(own if inside else layer, name, value, f"L.{type_name}")
    return layer


class Top:
    """One top of a layer: what `L.Pooling(...)` returns, to be another layer's bottom."""

    def __init__(self, fn: "Function", n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net that computes this top."""
        return to_proto(self)


class Function:
    """One layer: its type, the Tops it reads, its parameters and its own `tops`.

    `params` are the keywords, which may be changed until the net is written.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, Any]) -> None:
        self.type_name, self.inputs = type_name, inputs
        for index, top in enumerate(inputs):
            if not isinstance(top, Top):
                raise BottomError(
                    f"{type_name} input {index} is not a Top (type is {type(top)}); give layers' "
                    "tops one by one, and parameters as keywords"
                )
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        if self.in_place and len(inputs) != self.ntop:
            raise CaffeError(
                f"L.{type_name}: in_place needs as many tops as bottoms, got {self.ntop} "
                f"and {len(inputs)}"
            )
        self.layer_param()  # so that mistakes show here
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def layer_param(self) -> caffe_pb2.LayerParameter:
        """The layer without its name and blobs."""
        return _layer_param(self.type_name, self.params)


class _Writer:
    """Turns Functions into layers, each once, after the layers that it reads."""

    def __init__(self, names: Mapping[Top | Function, str]) -> None:
        self.names = dict(names)
        self.layers: OrderedDict[Function, caffe_pb2.LayerParameter] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def _name(self, made: Top | Function, type_name: str) -> str:
        """The name given in the NetSpec, or the type with a running number."""
        if made not in self.names:
            self.counts[type_name] += 1
            self.names[made] = f"{type_name}{self.counts[type_name]}"
        return self.names[made]

    def add(self, fn: Function) -> None:
        if fn in self.layers:
            return
        for top in fn.inputs:
            self.add(top.fn)
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        first = fn.tops[0] if fn.tops else fn
        layer.name = self._name(first, fn.type_name)
        layer.bottom.extend(self.layers[top.fn].top[top.n] for top in fn.inputs)
        made = layer.bottom if fn.in_place else [self._name(t, fn.type_name) for t in fn.tops]
        layer.top.extend(made)
        layer.MergeFrom(fn.layer_param())
        self.layers[fn] = layer


def _net(
    made: Iterable[Top | Function], names: Mapping[Top | Function, str]
) -> caffe_pb2.NetParameter:
    writer = _Writer(names)
    for one in made:
        writer.add(one.fn if isinstance(one, Top) else one)
    return caffe_pb2.NetParameter(layer=writer.layers.values())


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """The net that computes these tops; all names are made from the types: Convolution1, ..."""
    return _net(tops, {})


class NetSpec:
    """Tops under the names of the attributes (or keys) they are assigned to, in that order.

    A layer is named after its first top, or by the keyword `name`; what nobody named gets its type
    and a number. A layer without tops (`ntop=0`) is assigned as itself.
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, top: Top | Function) -> None:
        self.tops[name] = top

    def __getattr__(self, name: str) -> Top | Function:
        if name not in self.tops:
            raise AttributeError(f'this NetSpec has no top "{name}"; tops: {", ".join(self.tops)}')
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, name: str, top: Top | Function) -> None:
        self.tops[name] = top

    def __getitem__(self, name: str) -> Top | Function:
        return getattr(self, name)

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def to_proto(self) -> caffe_pb2.NetParameter:
        """The net, each layer behind those it reads; `str()` of it is the prototxt."""
        return _net(self.tops.values(), {top: name for name, top in self.tops.items()})


class Layers:
    """`L.<Type>(*bottoms, ntop=1, in_place=False, **fields)`: one Top, or a tuple of `ntop`.

    With ntop=0 the Function itself.
    """

    def __getattr__(self, type_name: str) -> Callable[..., Any]:
        if not type_name[:1].isupper():
            raise AttributeError(f'"{type_name}" is no layer type')

        def make(*bottoms: Top, **params: Any) -> Any:
            fn = Function(type_name, bottoms, params)
            return fn.tops[0] if fn.ntop == 1 else (fn.tops or fn)

        return make


class Parameters:
    """`P.<Message>.<ENUM VALUE>`: `P.Pooling.MAX` is PoolingParameter.MAX."""

    def __getattr__(self, name: str) -> type[Message]:
        return getattr(caffe_pb2, f"{name}Parameter")


layers = Layers()
params = Parameters()
