"""VGG16, the student's net, through the engine and as one writes it in PyTorch: for tools/bench.py.

The rival is eager PyTorch at its best on this kind of machine: activations overwritten in place,
weights and maps in channels-last memory, and for bf16 autocast. Both begin with the same numbers in
Caffe's layout. A forward pass ends with a loss, the rival's without a graph; a training step with
the update of SGD with momentum and weight decay, the rival's in one pass over the memory (`fused`).
Dropout is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from google.protobuf import text_format
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import caffe
from caffe.proto import caffe_pb2

BATCH, SIZE, CLASSES = 8, 224, 80
RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool") + (512, 512, 512, "pool") * 2
Calls = dict[str, Callable[[], object]]


def net_param(models: Path, batch: int = BATCH, size: int = SIZE) -> caffe_pb2.NetParameter:
    """S-Cls with a loss, inputs `data` and `label`."""
    deploy = (models / "coco" / "student" / "deploy.prototxt").read_text(encoding="utf-8")
    param = text_format.Parse(deploy, caffe_pb2.NetParameter())
    while param.layer[-1].type != "InnerProduct":
        del param.layer[-1]
    param.layer[0].input_param.shape[0].dim[:] = [batch, 3, size, size]
    label = param.layer.add(name="label", type="Input", top=["label"])
    label.input_param.shape.add(dim=[batch, CLASSES])
    scores = next(layer for layer in reversed(param.layer) if layer.type == "InnerProduct").top[0]
    param.layer.add(
        name="loss", type="SigmoidCrossEntropyLoss", bottom=[scores, "label"], top=["loss"]
    )
    return param


def engine(models: Path, batch: int = BATCH, size: int = SIZE) -> caffe.SGDSolver:
    """A solver of it."""
    param = caffe_pb2.SolverParameter(net_param=net_param(models, batch, size), lr_policy="fixed")
    param.base_lr, param.momentum, param.weight_decay = RATE, MOMENTUM, DECAY
    return caffe.SGDSolver(param)


def handwritten(size: int = SIZE) -> nn.Sequential:
    """The same net in PyTorch."""
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    head = [nn.Flatten(), nn.Linear(512 * (size // 32) ** 2, 4096), nn.ReLU(inplace=True)]
    head += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, CLASSES)]
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


def inputs(batch: int = BATCH, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """data (N, 3, S, S) and labels (N, K) of 0 and 1, float32."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (batch, CLASSES)).astype(np.float32)
    return rng.standard_normal((batch, 3, size, size), np.float32), labels


def eager_pass(model: nn.Module, data: np.ndarray, labels: np.ndarray, low: bool) -> torch.Tensor:
    """Caffe's loss: the sum over classes, the mean over images."""
    with torch.autocast("cpu", torch.bfloat16) if low else nullcontext():
        scores = model(torch.from_numpy(data).contiguous(memory_format=torch.channels_last))
    total = binary_cross_entropy_with_logits(
        scores.float(), torch.from_numpy(labels), reduction="sum"
    )
    return total / len(data)


def sgd(model: nn.Module) -> torch.optim.SGD:
    """The rival's solver."""
    return torch.optim.SGD(
        model.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True
    )


def training_calls(models: Path, precision: str) -> Calls:
    """One training step."""
    data, labels = inputs()
    solver, model = engine(models), handwritten()
    optimizer = sgd(model)
    solver.net.blobs["data"].data[...], solver.net.blobs["label"].data[...] = data, labels

    def ours() -> None:
        caffe.set_precision(precision)
        solver.step(1)
        caffe.set_precision("fp32")

    def rival() -> None:
        optimizer.zero_grad(set_to_none=True)
        eager_pass(model, data, labels, precision == "bf16").backward()
        optimizer.step()

    return {"caffe.Solver": ours, "PyTorch eager": rival}


def forward_calls(models: Path, precision: str) -> Calls:
    """One forward pass without gradients."""
    data, labels = inputs()
    net, model = caffe.Net(net_param(models), caffe.TEST), handwritten()
    net.blobs["data"].data[...], net.blobs["label"].data[...] = data, labels

    def ours() -> None:
        caffe.set_precision(precision)
        net.forward()
        caffe.set_precision("fp32")

    def rival() -> None:
        with torch.no_grad():
            eager_pass(model, data, labels, precision == "bf16")

    return {"caffe.Net": ours, "PyTorch eager": rival}
