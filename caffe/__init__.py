"""Caffe in Python on PyTorch tensors: `import caffe` is pycaffe.

Same prototxt, same .caffemodel, same calls; CPU, or any GPU that PyTorch runs on.
"""

from caffe import io, layers
from caffe.blob import Blob
from caffe.classifier import Classifier
from caffe.detector import Detector
from caffe.device import (
    check_mode_cpu,
    check_mode_gpu,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
)
from caffe.errors import CaffeError
from caffe.glog import init_log, log
from caffe.module import Module
from caffe.net import Net
from caffe.net_spec import NetSpec, params, to_proto
from caffe.parallel import (
    NCCL,
    has_nccl,
    multiprocess,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe.precision import get_precision, set_precision
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
from caffe.timer import Timer

__version__ = "0.1.0"

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "CaffeError",
    "Classifier",
    "Detector",
    "Layer",
    "Module",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "check_mode_cpu",
    "check_mode_gpu",
    "get_precision",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "multiprocess",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
