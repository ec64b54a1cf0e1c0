"""The shared libraries: what is said when one is not there, and what the one for GPUs holds."""

import ctypes
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import caffe
from caffe.ops import native

CSRC = Path(native.__file__).with_name("csrc")
BUILT = Path(native.__file__).with_name("libcaffe_ops_cuda.so")


def exported(suffix: str) -> dict[str, str]:
    """The functions of csrc's files of this kind: name -> parameters, but for the last."""
    found = {}
    for path in CSRC.glob(f"*.{suffix}"):
        for name, parameters in re.findall(
            r"EXPORTED \w+ (\w+)\((.*?)\) \{", path.read_text(), re.S
        ):
            found[name] = " ".join(parameters.split())
    return found


def test_says_how_to_build_a_missing_library(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    with pytest.raises(caffe.CaffeError, match=r"libcaffe_ops\.so.*pip install -e \."):
        native._cpu_library.__wrapped__()
    assert native._cuda_library.__wrapped__(0) is None


def test_both_libraries_take_the_same_arguments():
    on_cpu, on_gpu = exported("cpp"), exported("cu")
    assert len(on_cpu) == 6
    for name, parameters in on_cpu.items():
        ours = re.sub(r", int64_t (threads|/\*threads\*/)$", "", parameters)
        assert on_gpu[name] == f"{ours}, int64_t device, void* stream"


def test_every_kernel_is_run_on_the_cpu_too(kernels):
    for name in exported("cu"):
        assert hasattr(kernels, name)


def test_headers_that_kernels_share_are_cxx11_as_are_the_kernels(kernels):
    """The fixture compiles them as C++11 with all warnings as errors."""
    shared = {path.name for path in CSRC.glob("*.h")}
    included = {
        name
        for path in CSRC.glob("*.cu")
        for name in re.findall(r'#include "(.*)"', path.read_text())
    }
    assert shared - {"portable.h"} == included


@pytest.mark.skipif(
    not shutil.which("nvcc") and not BUILT.exists(),
    reason="needs libcaffe_ops_cuda.so, built where nvcc is",
)
def test_the_library_for_gpus_loads_without_a_gpu_and_holds_every_function():
    library = ctypes.CDLL(str(BUILT))  # if it is not there, nvcc came later: pip install -e .
    for name in exported("cu"):
        assert hasattr(library, name)
    if not torch.cuda.is_available():
        assert native._cuda_library(0) is None


class OnThirdGpu(torch.Tensor):
    """A tensor that says where it is not."""

    device = torch.device("cuda", 3)


def test_a_call_for_a_gpu_names_it_and_its_stream_and_raises_what_cuda_reports(monkeypatch):
    calls = []

    def function(*arguments):
        calls.append([argument.value for argument in arguments])
        return 2

    library = SimpleNamespace(caffe_x=function, caffe_error_text=lambda status: b"out of memory")
    monkeypatch.setattr(native, "_cuda_library", {3: library}.get)
    stream = SimpleNamespace(cuda_stream=0x57)
    monkeypatch.setattr(torch.cuda, "current_stream", {OnThirdGpu.device: stream}.get)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    tensor = torch.zeros(1).as_subclass(OnThirdGpu)
    with pytest.raises(caffe.CaffeError, match=r"^caffe_x: CUDA error 2, out of memory$"):
        native.call("caffe_x", tensor, 5, 0.5, None)
    assert calls == [[tensor.data_ptr(), 5, 0.5, None, 3, 0x57]]


def test_tensors_on_two_devices_are_named():
    tensors = {"teacher": torch.zeros(2), "student": torch.zeros(2, device="meta")}
    with pytest.raises(
        ValueError, match=r"one device for all, got teacher on cpu, student on meta"
    ):
        native.check_tensors(tensors)
