"""What layers with a sliding window share: reading kernel, stride, pad, dilation; all windows."""

import torch
from google.protobuf.message import Message
from torch.nn.functional import pad as pad_with_zeros

from caffe.layer import Layer

_PAIRS = {
    "kernel_size": ("kernel_h", "kernel_w"),
    "stride": ("stride_h", "stride_w"),
    "pad": ("pad_h", "pad_w"),
    "dilation": (),
}


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
    pair, values = _PAIRS[field], _own_values(param, field)
    if any(param.HasField(name) for name in pair):
        if values or axes != 2:
            layer.fail(f"{pair[0]} and {pair[1]} need 2 spatial axes and no {field} beside them")
        values = [getattr(param, name) for name in pair]
    if not values and axes:
        if default is None:
            layer.fail(f"{field} must be given")
        values = [default]
    least = 0 if field == "pad" else 1
    if min(values, default=least) < least:
        layer.fail(f"expected {field} of at least {least}, got {values}")
    return tuple(layer.one_each(values, axes, field))


def windows(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    dilation: tuple[int, ...],
) -> torch.Tensor:
    """Every window over the last axes of x (..., S...), as (..., S'..., kernel...).

    Places outside x hold 0. Raises RuntimeError (from PyTorch) if a window does not fit.
    """
    first = x.dim() - len(kernel)
    x = pad_with_zeros(x, [p for p in reversed(pad) for _ in range(2)])
    for axis, (size, step, spread) in enumerate(zip(kernel, stride, dilation, strict=True), first):
        x = x.unfold(axis, spread * (size - 1) + 1, step)[..., ::spread]
    return x
