"""Where operators compute in these tests: the CPU, the CUDA kernels run on the CPU, a GPU."""

import os
import subprocess
from ctypes import CDLL, c_int64, c_void_p
from pathlib import Path

import pytest
import torch

from caffe.ops import native

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "caffe" / "ops" / "csrc"


@pytest.fixture(scope="session")
def kernels(tmp_path_factory) -> CDLL:
    """The kernels' library for the CPU; see cuda_on_cpu/cuda_runtime.h. They have to be C++11."""
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    flags = "-std=c++11 -Wall -Wextra -Wpedantic -Werror -O2 -ffp-contract=off -shared -fPIC"
    folders = [f"-I{HERE / 'cuda_on_cpu'}", f"-I{SOURCES}"]
    source = str(HERE / "cuda_on_cpu" / "kernels.cpp")
    compiler = os.environ.get("CXX", "g++").split()
    subprocess.run([*compiler, *flags.split(), *folders, source, "-o", str(path)], check=True)
    return CDLL(str(path))


@pytest.fixture
def use_kernels(kernels, monkeypatch):
    """A function after whose call the kernels compute on CPU tensors."""

    def call(name, *arguments):
        tail = (c_int64(0), c_void_p(None))
        status = getattr(kernels, name)(*map(native._argument, arguments), *tail)
        assert status == 0, kernels.caffe_error_text(c_int64(status))

    return lambda: monkeypatch.setattr(native, "call", call)


@pytest.fixture
def gpu() -> torch.device:
    """A GPU that the operators have kernels for."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    device = torch.device("cuda", torch.cuda.current_device())
    if not native.computes_on(device):
        pytest.skip("needs libcaffe_ops_cuda.so, built where nvcc is, with code for this GPU")
    return device


@pytest.fixture(params=["cpu", "kernels on the cpu", "gpu"])
def device(request) -> torch.device:
    """Where the test puts its tensors."""
    if request.param == "gpu":
        return request.getfixturevalue("gpu")
    if request.param != "cpu":
        request.getfixturevalue("use_kernels")()
    return torch.device("cpu")
