"""What layers with a sliding window share: reading kernel, stride, pad and dilation."""

from google.protobuf.message import Message

from caffe.layer import Layer


def _own_values(param: Message, field: str) -> list[int]:
    value = getattr(param, field)
    if isinstance(value, int):
        return [value] if param.HasField(field) else []
    return list(value)


def window_field(
    layer: Layer, param: Message, field: str, axes: int, default: int | None
) -> tuple[int, ...]:
    """A field of convolution_param or pooling_param, one number for each of `axes` spatial axes.

    field: "kernel_size", "stride", "pad" or "dilation", given once for all axes, once for each, or
    as <field>_h and <field>_w. Raises CaffeError naming the layer if it is missing without a
    default, given twice, too small, or given for another number of axes.
    """
    stem = field.removesuffix("_size")
    pair = [f"{stem}_h", f"{stem}_w"] if stem != "dilation" else []
    values = _own_values(param, field)
    if any(param.HasField(name) for name in pair):
        if values or axes != 2:
            layer.fail(f"{pair[0]} and {pair[1]} need 2 spatial axes and no {field} beside them")
        values = [getattr(param, name) for name in pair]
    if not values:
        if default is None:
            layer.fail(f"{field} must be given")
        values = [default]
    least = 0 if field == "pad" else 1
    if min(values) < least:
        layer.fail(f"expected {field} of at least {least}, got {values}")
    return tuple(layer.one_each(values, axes, field))
