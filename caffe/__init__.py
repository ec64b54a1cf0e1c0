"""Caffe in Python on PyTorch tensors: `import caffe` is pycaffe.

Same prototxt, same .caffemodel, same calls; CPU, or any GPU that PyTorch runs on.
"""

from caffe.blob import Blob
from caffe.device import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.net_spec import NetSpec, params, to_proto
from caffe.proto.caffe_pb2 import TEST, TRAIN
from caffe.python_layer import PythonLayer as Layer
from caffe.registry import layer_type_list
from caffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "CaffeError",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
    "layer_type_list",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "to_proto",
]
