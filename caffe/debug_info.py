"""`debug_info: true`: the size of every blob and gradient, in the lines that Caffe logs.

A figure is the mean absolute value of the array: 0 for a gradient that vanished, nan for one that
exploded.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import torch

from caffe.blob import Blob
from caffe.device import current_device
from caffe.layer import Layer
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


def _mean_abs(tensor: torch.Tensor) -> float:
    return float(tensor.detach().abs().sum()) / max(1, tensor.numel())


def _param_names(layer: Layer) -> list[str]:
    specs: Sequence[caffe_pb2.ParamSpec] = layer.layer_param.param
    names = [spec.name for spec in specs] + [""] * (len(layer.blobs) - len(specs))
    return [name or str(i) for i, name in enumerate(names)]


def forward(layer: Layer, tops: Iterable[torch.Tensor]) -> None:
    """Log what a layer has just computed, and what it computed with."""
    for name, top in zip(layer.layer_param.top, tops, strict=True):
        if layer.type == "Input":
            _log.info("    [Forward] Input %s data: %g", name, _mean_abs(top))
        else:
            line = "    [Forward] Layer %s, top blob %s data: %g"
            _log.info(line, layer.name, name, _mean_abs(top))
    for name, blob in zip(_param_names(layer), layer.blobs, strict=True):
        line = "    [Forward] Layer %s, param blob %s data: %g"
        _log.info(line, layer.name, name, _mean_abs(blob.tensor(current_device())))


def backward(layer: Layer, bottoms: Mapping[str, Blob]) -> None:
    """Log the gradients of a layer's parameters and of the bottoms that get one."""
    for name, blob in bottoms.items():
        line = "    [Backward] Layer %s, bottom blob %s diff: %g"
        _log.info(line, layer.name, name, _mean_abs(blob.diff_tensor(current_device())))
    for name, blob in zip(_param_names(layer), layer.blobs, strict=True):
        if blob.owner.learned:
            line = "    [Backward] Layer %s, param blob %s diff: %g"
            _log.info(line, layer.name, name, _mean_abs(blob.diff_tensor(current_device())))


def norms(params: Iterable[Blob]) -> None:
    """Log the L1 and L2 norm over all parameters."""
    device = current_device()
    pairs = [(blob.tensor(device).detach(), blob.diff_tensor(device)) for blob in params]
    l1 = [sum(float(pair[i].abs().sum()) for pair in pairs) for i in (0, 1)]
    l2 = [sum(float(pair[i].square().sum()) for pair in pairs) ** 0.5 for i in (0, 1)]
    line = "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)"
    _log.info(line, *l1, *l2)
