"""Old nets and solvers to current ones: what Caffe does to their messages on reading them.

V0: layers { layer { type: "conv" ... } ... }    see caffe/upgrade_v0.py
V1: layers { type: CONVOLUTION blobs_lr: 1 ... }
current: layer { type: "Convolution" param { lr_mult: 1 } ... }

Source: Caffe's upgrade_proto. Everything here maps protobuf messages to protobuf messages.
"""

import logging

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto_fields import put
from caffe.upgrade_v0 import is_v0, v0_to_v1

_log = logging.getLogger("caffe")
_V1 = caffe_pb2.V1LayerParameter

# V1's types whose words, each capitalised, do not make the current name.
_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
# Where V1's data layers had what is in transform_param now.
_DATA_PARAMS = {
    _V1.DATA: "data_param",
    _V1.IMAGE_DATA: "image_data_param",
    _V1.WINDOW_DATA: "window_data_param",
}
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")
_V1_ONLY = ("type", "param", "blob_share_mode", "blobs_lr", "weight_decay")
_SOLVER_TYPES = {
    caffe_pb2.SolverParameter.SGD: "SGD",
    caffe_pb2.SolverParameter.NESTEROV: "Nesterov",
    caffe_pb2.SolverParameter.ADAGRAD: "AdaGrad",
    caffe_pb2.SolverParameter.RMSPROP: "RMSProp",
    caffe_pb2.SolverParameter.ADADELTA: "AdaDelta",
    caffe_pb2.SolverParameter.ADAM: "Adam",
}


def net_needs_upgrade(net: caffe_pb2.NetParameter) -> bool:
    """Whether `upgrade_net` has anything to change."""
    return bool(net.layers or net.input) or any(map(_learns_statistics, net.layer))


def upgrade_net(net: caffe_pb2.NetParameter, where: str) -> bool:
    """Bring a net of any age up to date, in place.

    Old layers become current ones and keep their blobs, the fields `input`, `input_shape` and
    `input_dim` become an Input layer in front, and BatchNorm's three `param` no longer learn its
    statistics. False if a V0 layer had fields without a meaning, which are logged and left out.

    Raises CaffeError, starting with `where`, for a net of `layers` and `layer`, for inputs without
    shapes, and what v0_to_v1 raises.
    """
    if net.layers and net.layer:
        raise CaffeError(
            f"{where}: {len(net.layers)} old `layers` beside {len(net.layer)} `layer`; convert the "
            "old ones alone with upgrade_net_proto_text, then put the two together"
        )
    complete = True
    if is_v0(net):
        complete = v0_to_v1(net, where)
        _note("V0LayerParameter", where)
    if net.layers:
        layers = [_v1_to_current(old) for old in net.layers]
        net.ClearField("layers")
        net.layer.extend(layers)
        _note("V1LayerParameter", where)
    if net.input:
        _inputs_to_layer(net, where)
        _note("input fields", where)
    for layer in filter(_learns_statistics, net.layer):
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0
    return complete


def _note(what: str, where: str) -> None:
    _log.info("Successfully upgraded file specified using deprecated %s: %s", what, where)


def current_type(v1_type: int) -> str:
    """The type of a V1 layer's enum value as it is now: 18, RELU, is "ReLU"."""
    name = _V1.LayerType.Name(v1_type)
    return _TYPES.get(name, "".join(word.capitalize() for word in name.split("_")))


def _v1_to_current(old: caffe_pb2.V1LayerParameter) -> caffe_pb2.LayerParameter:
    new = caffe_pb2.LayerParameter(type=current_type(old.type))
    for field, value in old.ListFields():
        if field.name not in _V1_ONLY:
            put(new, field.name, value)
    for i, name in enumerate(old.param):
        _spec(new, i).name = name
    for i, mode in enumerate(old.blob_share_mode):
        put(_spec(new, i), "share_mode", mode)
    for i, rate in enumerate(old.blobs_lr):
        _spec(new, i).lr_mult = rate
    for i, decay in enumerate(old.weight_decay):
        _spec(new, i).decay_mult = decay
    if old.type in _DATA_PARAMS:
        _move_transforms(new, _DATA_PARAMS[old.type])
    return new


def _spec(layer: caffe_pb2.LayerParameter, index: int) -> caffe_pb2.ParamSpec:
    """The layer's `param` for its blob `index`."""
    while len(layer.param) <= index:
        layer.param.add()
    return layer.param[index]


def _move_transforms(layer: caffe_pb2.LayerParameter, name: str) -> None:
    param = getattr(layer, name)
    for field in _TRANSFORMS:
        if param.HasField(field):
            put(layer.transform_param, field, getattr(param, field))
            param.ClearField(field)


def _learns_statistics(layer: caffe_pb2.LayerParameter) -> bool:
    """Caffe once asked for three `param` at a BatchNorm layer, and read no lr_mult from them."""
    statistics = layer.type == "BatchNorm" and len(layer.param) == 3
    return statistics and any(spec.lr_mult or spec.decay_mult for spec in layer.param)


def _inputs_to_layer(net: caffe_pb2.NetParameter, where: str) -> None:
    """Turn `input` with `input_shape` or `input_dim` into an Input layer in front."""
    names = list(net.input)
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes:
        dims = list(net.input_dim)
        shapes = [dims[i : i + 4] for i in range(0, len(dims), 4)]
    if len(shapes) != len(names) or any(not shape for shape in shapes):
        raise CaffeError(
            f"{where}: {len(names)} input(s) but {len(shapes)} shape(s); "
            "give one input_shape, or four input_dim, for each input"
        )
    first = caffe_pb2.LayerParameter(name="input", type="Input", top=names)
    for shape in shapes:
        first.input_param.shape.add(dim=shape)
    rest = list(net.layer)
    for field in ("input", "input_shape", "input_dim", "layer"):
        net.ClearField(field)
    net.layer.extend([first, *rest])


def upgrade_solver(solver: caffe_pb2.SolverParameter, where: str) -> None:
    """Replace the enum `solver_type` by `type`, in place; CaffeError if both are given."""
    if not solver.HasField("solver_type"):
        return
    if solver.HasField("type"):
        raise CaffeError(f"{where}: give type or the old solver_type, not both")
    solver.type = _SOLVER_TYPES[solver.solver_type]
    solver.ClearField("solver_type")
    _note("'solver_type' field (enum)", where)
