"""The oldest nets, V0 (2013), to the generation behind them, V1 (2014).

V0: layers { layer { name: "c" type: "conv" kernelsize: 3 ... } bottom: "x" top: "y" }
V1: layers { name: "c" type: CONVOLUTION convolution_param { kernel_size: 3 } bottom: "x" top: "y" }

Source: Caffe's upgrade_proto.
"""

import logging

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto_fields import put

_log = logging.getLogger("caffe")
_V1 = caffe_pb2.V1LayerParameter

# A type -> its enum value in V1 and the message that has its fields there, "" if it has none.
_TYPES = {
    "accuracy": ("ACCURACY", ""),
    "bnll": ("BNLL", ""),
    "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"),
    "data": ("DATA", "data_param"),
    "dropout": ("DROPOUT", "dropout_param"),
    "euclidean_loss": ("EUCLIDEAN_LOSS", ""),
    "flatten": ("FLATTEN", ""),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"),
    "hdf5_output": ("HDF5_OUTPUT", ""),
    "im2col": ("IM2COL", ""),
    "images": ("IMAGE_DATA", "image_data_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", ""),
    "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU", ""),
    "sigmoid": ("SIGMOID", ""),
    "softmax": ("SOFTMAX", ""),
    "softmax_loss": ("SOFTMAX_LOSS", ""),
    "split": ("SPLIT", ""),
    "tanh": ("TANH", ""),
    "window_data": ("WINDOW_DATA", "window_data_param"),
}
# A field -> its name in V1 and the types that have it.
_FIELDS = {
    "num_output": ("num_output", "conv innerproduct"),
    "biasterm": ("bias_term", "conv innerproduct"),
    "weight_filler": ("weight_filler", "conv innerproduct"),
    "bias_filler": ("bias_filler", "conv innerproduct"),
    "pad": ("pad", "conv pool"),
    "kernelsize": ("kernel_size", "conv pool"),
    "group": ("group", "conv"),
    "stride": ("stride", "conv pool"),
    "pool": ("pool", "pool"),
    "dropout_ratio": ("dropout_ratio", "dropout"),
    "local_size": ("local_size", "lrn"),
    "alpha": ("alpha", "lrn"),
    "beta": ("beta", "lrn"),
    "k": ("k", "lrn"),
    "source": ("source", "data hdf5_data images infogain_loss window_data"),
    "batchsize": ("batch_size", "data hdf5_data images window_data"),
    "rand_skip": ("rand_skip", "data images"),
    "shuffle_images": ("shuffle", "images"),
    "new_height": ("new_height", "images"),
    "new_width": ("new_width", "images"),
    "concat_dim": ("concat_dim", "concat"),
    "det_fg_threshold": ("fg_threshold", "window_data"),
    "det_bg_threshold": ("bg_threshold", "window_data"),
    "det_fg_fraction": ("fg_fraction", "window_data"),
    "det_context_pad": ("context_pad", "window_data"),
    "det_crop_mode": ("crop_mode", "window_data"),
}
_TRANSFORMS = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_SAME = ("name", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param")


def v1_type(v0_type: str) -> int:
    """The V1 enum value of a V0 layer's type, of "conv" CONVOLUTION; NONE for no known type."""
    return _V1.LayerType.Value(_TYPES.get(v0_type, ("NONE", ""))[0])


def is_v0(net: caffe_pb2.NetParameter) -> bool:
    """Whether any layer of the net is a V0 layer."""
    return any(layer.HasField("layer") for layer in net.layers)


def v0_to_v1(net: caffe_pb2.NetParameter, where: str) -> bool:
    """Turn all layers into V1 layers, in place.

    False if a field stood at a layer of a type that does not have it: it never had an effect, is
    logged and left out. Raises CaffeError, starting with `where`, for a layer that is not V0, an
    unknown type or a padding layer that no convolution or pooling layer reads.
    """
    for old in net.layers:
        _check(old, where)
    dropped: list[str] = []
    layers = [_convert(old, dropped) for old in _without_padding(net, where)]
    net.ClearField("layers")
    net.layers.extend(layers)
    return not dropped


def _check(old: caffe_pb2.V1LayerParameter, where: str) -> None:
    if not old.HasField("layer"):
        raise CaffeError(
            f'{where}: layers "{old.name}" has no `layer {{ }}` inside as others of this net have; '
            "write all of them the old way or all the new way"
        )
    place = f'{where}: layer "{old.layer.name}" ({old.layer.type})'
    beside = {field.name for field, _ in old.ListFields()} - {"layer", "bottom", "top"}
    if beside:
        raise CaffeError(
            f"{place}: {', '.join(sorted(beside))} beside `layer {{ }}`; only bottom and top can "
            "be there, move it inside"
        )
    if old.layer.type not in (*_TYPES, "padding"):
        raise CaffeError(f"{place}: unknown type; V0 nets have {', '.join(_TYPES)}, padding")


def _without_padding(net: caffe_pb2.NetParameter, where: str) -> list[caffe_pb2.V1LayerParameter]:
    """The layers but those of type padding, whose pad goes to the layer that reads them."""
    makers: dict[str, caffe_pb2.V1LayerParameter] = {}
    kept = []
    for old in net.layers:
        for name in list(old.bottom):
            if name in makers and makers[name].layer.type == "padding":
                _take_pad(old, makers[name], where)
        makers.update((name, old) for name in old.top)
        if old.layer.type != "padding":
            kept.append(old)
    return kept


def _take_pad(
    reader: caffe_pb2.V1LayerParameter, padding: caffe_pb2.V1LayerParameter, where: str
) -> None:
    name, kind = reader.layer.name, reader.layer.type
    if kind not in ("conv", "pool") or len(reader.bottom) != 1:
        raise CaffeError(
            f'{where}: layer "{name}" ({kind}) reads the padding layer "{padding.layer.name}"; '
            "only a conv or pool layer with one bottom can"
        )
    if len(padding.bottom) != 1:
        raise CaffeError(
            f'{where}: layer "{padding.layer.name}" (padding): expected one bottom, got '
            f"{len(padding.bottom)}"
        )
    reader.layer.pad = padding.layer.pad
    reader.bottom[0] = padding.bottom[0]


def _convert(old: caffe_pb2.V1LayerParameter, dropped: list[str]) -> caffe_pb2.V1LayerParameter:
    kind = old.layer.type
    type_name, param = _TYPES[kind]
    new = _V1(type=type_name, bottom=old.bottom, top=old.top)
    for field, value in old.layer.ListFields():
        name, kinds = _FIELDS.get(field.name, ("", ""))
        if field.name in _SAME:
            put(new, field.name, value)
        elif field.name in _TRANSFORMS:
            put(new.transform_param, _TRANSFORMS[field.name], value)
        elif kind in kinds.split():
            put(getattr(new, param), name, value)
        elif field.name != "type":
            _log.error("Unknown parameter %s for layer type %s", field.name, kind)
            dropped.append(field.name)
    return new
