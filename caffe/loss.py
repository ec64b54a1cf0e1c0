"""What the loss layers share: class labels, normalisation, a floor under a logarithm."""

import torch

from caffe.layer import Layer
from caffe.proto import caffe_pb2

_Param = caffe_pb2.LossParameter


def class_indices(
    layer: Layer, label: torch.Tensor, classes: int, ignore: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels as (index, valid), both of label's shape.

    index: int64, 0 to classes - 1, and 0 where ignored; valid: False where label equals `ignore`.
    Fails in `layer`'s name if another label is outside 0 to classes - 1.
    """
    index = label.detach().long()
    valid = torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore
    if not index.is_meta:
        wrong = index[valid & ((index < 0) | (index >= classes))]
        if wrong.numel():
            but = "" if ignore is None else f", or {ignore} to ignore"
            layer.fail(f"label {int(wrong[0])}: expected 0 to {classes - 1}{but}")
    return torch.where(valid, index, 0), valid


def ignored(param: caffe_pb2.LossParameter | caffe_pb2.AccuracyParameter) -> int | None:
    """The message's ignore_label, None if it gives none."""
    return param.ignore_label if param.HasField("ignore_label") else None


def normalizer(
    param: _Param, default: _Param.NormalizationMode, outer: int, valid: torch.Tensor
) -> torch.Tensor | int:
    """What a sum of costs is divided by, at least 1.

    FULL: the number of costs; VALID: of those not ignored; BATCH_SIZE: `outer`; NONE: 1. Without
    `normalization` the older `normalize` chooses VALID or BATCH_SIZE, and without both `default`.
    """
    mode = default
    if param.HasField("normalization"):
        mode = param.normalization
    elif param.HasField("normalize"):
        mode = _Param.VALID if param.normalize else _Param.BATCH_SIZE
    if mode == _Param.VALID:
        return valid.sum().clamp(min=1)
    count = {_Param.FULL: valid.numel(), _Param.BATCH_SIZE: outer, _Param.NONE: 1}[mode]
    return max(1, count)


def at_least(x: torch.Tensor, low: float) -> torch.Tensor:
    """max(x, low), whose gradient is 1 everywhere, as Caffe's losses differentiate it."""
    return x + (x.detach().clamp(min=low) - x.detach())
