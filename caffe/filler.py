"""Caffe's weight fillers: what a new blob holds before training.

`fan_in` = count / shape[0], `fan_out` = count / shape[1], as Caffe computes them for a blob of
shape (out, in, ...).
"""

import math

import torch

from caffe.proto import caffe_pb2


def _fan(shape: tuple[int, ...], filler: caffe_pb2.FillerParameter) -> float:
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / shape[1] if len(shape) > 1 else count
    if filler.variance_norm == caffe_pb2.FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == caffe_pb2.FillerParameter.FAN_OUT else fan_in


def _gaussian(out: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    out.normal_(filler.mean, filler.std)
    if filler.sparse >= 0:
        if filler.sparse > out.shape[0]:
            raise ValueError(
                f"gaussian filler: expected sparse of at most {out.shape[0]}, the outputs of a "
                f"blob {tuple(out.shape)}, got {filler.sparse}"
            )
        out.mul_(torch.bernoulli(torch.full_like(out, filler.sparse / out.shape[0])))


def _positive_unitball(out: torch.Tensor, _: caffe_pb2.FillerParameter) -> None:
    out.uniform_(0, 1)
    rows = out.view(out.shape[0], -1)
    rows.div_(rows.sum(dim=1, keepdim=True))


def _bilinear(out: torch.Tensor, _: caffe_pb2.FillerParameter) -> None:
    if out.dim() != 4 or out.shape[2] != out.shape[3]:
        raise ValueError(f"bilinear filler: expected a blob (O,I,K,K), got {tuple(out.shape)}")
    size = out.shape[3]
    factor = math.ceil(size / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    line = 1 - (torch.arange(size) / factor - centre).abs()
    out.copy_(line[:, None] * line[None, :])


def _xavier(out: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    bound = math.sqrt(3 / _fan(tuple(out.shape), filler))
    out.uniform_(-bound, bound)


def _msra(out: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    out.normal_(0, math.sqrt(2 / _fan(tuple(out.shape), filler)))


_FILLERS = {
    "constant": lambda out, filler: out.fill_(filler.value),
    "uniform": lambda out, filler: out.uniform_(filler.min, filler.max),
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}


def fill(shape: tuple[int, ...], filler: caffe_pb2.FillerParameter) -> torch.Tensor:
    """A new float32 tensor of `shape` filled as `filler` says.

    constant: value; uniform: U(min, max); gaussian: N(mean, std), each number kept with probability
    sparse / shape[0] (of a blob (out, in) that leaves `sparse` numbers of each column on average)
    and 0 otherwise; positive_unitball: rows of positive numbers that add up to 1; xavier: U(-b, b),
    b = sqrt(3 / n); msra: N(0, sqrt(2 / n)); n by variance_norm; bilinear: an upsampling kernel.
    Raises ValueError for another type, for sparse with any but gaussian and for a shape that the
    type cannot fill.
    """
    if filler.type not in _FILLERS:
        known = ", ".join(_FILLERS)
        raise ValueError(f'unknown filler type "{filler.type}"; expected one of {known}')
    if filler.sparse >= 0 and filler.type != "gaussian":
        raise ValueError(f'{filler.type} filler: expected type: "gaussian" with sparse')
    out = torch.zeros(shape)
    _FILLERS[filler.type](out, filler)
    return out
