"""What a stage costs: operations counted from its net, hours they take on machines one may know."""

import json
import statistics
from functools import cache
from typing import NamedTuple

import torch

import caffe
from caffe.proto import caffe_pb2
from python_layers.data_shapes import with_inputs

COUNTED = ("Convolution", "InnerProduct")  # all other layers together take a few percent


class Machine(NamedTuple):
    """A processor: its arithmetic peak and how much of that training is taken to reach."""

    name: str
    precision: str
    peak: float  # operations a second, a multiply-add being 2; GPUs': their makers' data sheets
    share: float
    basis: str  # of the share


MACHINES = (
    Machine("H200", "bf16", 989e12, 0.4, "assumed"),
    Machine("A100", "bf16", 312e12, 0.4, "assumed"),
    Machine("RTX 4090", "bf16", 165e12, 0.4, "assumed"),
    Machine("2 cores of a Xeon with AMX", "fp32", 0.517e12, 0.59, "measured"),
)
# What ProposalData delivered with 2 workers on 2 cores, see docs/performance.md: 128 in 253 ms.
IMAGES_A_SECOND = 500


def of_image(param: caffe_pb2.NetParameter) -> float:
    """Operations of a training pass for one image of the size that the scales have on average."""
    options = json.loads(param.layer[0].python_param.param_str or "{}")
    squares = statistics.mean(side**2 for side in options.get("scales", [0]))
    return _of_pass(with_inputs(param, 1, 16 * round(squares**0.5 / 16)).SerializeToString())


@cache
def _of_pass(content: bytes) -> float:
    """2 for each weight and each place it is used at; three times as many where it learns, for the
    gradients of the map and of the weight cost as much as the map."""
    param = caffe_pb2.NetParameter.FromString(content)
    with torch.device("meta"):  # parameters without numbers
        net = caffe.Net(param, caffe.TRAIN)
    total = 0.0
    for layer in param.layer:
        if layer.type in COUNTED:
            top = net.blobs[layer.top[0]]
            learns = not layer.param or any(spec.lr_mult for spec in layer.param)
            forward = 2 * net.params[layer.name][0].count * top.count / top.shape[1]
            total += forward * (3 if learns else 1)
    return total


def hours(operations: float, machine: Machine) -> float:
    """How long the machine computes."""
    return operations / (machine.peak * machine.share) / 3600
