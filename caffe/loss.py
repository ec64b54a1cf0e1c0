"""What the loss layers share: class labels, normalisation, a floor under a logarithm."""

import torch

from caffe.indices import checked_indices
from caffe.layer import Layer
from caffe.proto import caffe_pb2


def class_indices(
    layer: Layer, label: torch.Tensor, classes: int, ignore: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels as (index, valid), both of label's shape.

    index: int64, 0 to classes - 1, and 0 where ignored; valid: False where label equals `ignore`.
    Fails in `layer`'s name if another label is outside 0 to classes - 1.
    """
    index = label.detach().long()
    if ignore is None:
        valid, hint = torch.ones_like(index, dtype=torch.bool), ""
    else:
        valid, hint = index != ignore, f", or {ignore} to ignore"
    index = torch.where(valid, index, 0)
    return checked_indices(layer, index, classes, "label", hint), valid


def ignored(param: caffe_pb2.LossParameter | caffe_pb2.AccuracyParameter) -> int | None:
    """The message's ignore_label, None if it gives none."""
    return param.ignore_label if param.HasField("ignore_label") else None


def normalization(
    param: caffe_pb2.LossParameter, default: caffe_pb2.LossParameter.NormalizationMode
) -> caffe_pb2.LossParameter.NormalizationMode:
    """`normalization`, or else what the older `normalize` says, or else `default`."""
    modes = caffe_pb2.LossParameter
    if param.HasField("normalization"):
        return param.normalization
    if param.HasField("normalize"):
        return modes.VALID if param.normalize else modes.BATCH_SIZE
    return default


def normalizer(
    param: caffe_pb2.LossParameter,
    default: caffe_pb2.LossParameter.NormalizationMode,
    outer: int,
    valid: torch.Tensor,
) -> torch.Tensor | int:
    """What a sum of costs is divided by, at least 1.

    FULL: the number of costs; VALID: of those not ignored; BATCH_SIZE: `outer`; NONE: 1.
    """
    modes, mode = caffe_pb2.LossParameter, normalization(param, default)
    if mode == modes.VALID:
        return valid.sum().clamp(min=1)
    count = {modes.FULL: valid.numel(), modes.BATCH_SIZE: outer, modes.NONE: 1}[mode]
    return max(1, count)


def at_least(x: torch.Tensor, low: float) -> torch.Tensor:
    """max(x, low), whose gradient is 1 everywhere, as Caffe's losses differentiate it."""
    return x.detach().clamp(min=low) + (x - x.detach())
