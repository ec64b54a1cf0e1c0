"""Where operators compute in these tests: the CPU, the CUDA kernels run on the CPU, a GPU."""

from ctypes import CDLL

import pytest
import torch

from caffe.ops import native
from tests import kernels_on_cpu


@pytest.fixture(scope="session")
def kernels() -> CDLL:
    return kernels_on_cpu.load()


@pytest.fixture
def use_kernels(kernels, monkeypatch):
    """A function after whose call the kernels compute on CPU tensors."""
    call = kernels_on_cpu.caller(kernels)
    return lambda: monkeypatch.setattr(native, "call", call)


@pytest.fixture
def gpu(gpu) -> torch.device:
    """A GPU that the operators have kernels for."""
    if not native.computes_on(gpu):
        pytest.skip("needs libcaffe_ops_cuda.so, built where nvcc is, with code for this GPU")
    return gpu


@pytest.fixture(params=["cpu", "kernels on the cpu", "gpu"])
def device(request) -> torch.device:
    """Where the test puts its tensors."""
    if request.param == "gpu":
        return request.getfixturevalue("gpu")
    if request.param != "cpu":
        request.getfixturevalue("use_kernels")()
    return torch.device("cpu")
