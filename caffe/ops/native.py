"""The shared libraries of the native operators, called through ctypes on raw pointers.

libcaffe_ops.so computes on the CPU. libcaffe_ops_cuda.so, which is built where nvcc is, has the
same functions for a GPU.
"""

from ctypes import CDLL, c_char_p, c_float, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch

from caffe.blob import checked_shape
from caffe.errors import CaffeError


@cache
def _cpu_library() -> CDLL:
    path = Path(__file__).with_name("libcaffe_ops.so")
    try:
        return CDLL(str(path))
    except OSError as error:
        raise CaffeError(
            f"{path}: the native operators cannot be loaded ({error}); build them with: "
            "pip install -e ."
        ) from error


@cache
def _cuda_library(device: int) -> CDLL | None:
    """None where it was not built, or holds no code that this GPU and its driver can run."""
    path = Path(__file__).with_name("libcaffe_ops_cuda.so")
    if not path.exists():
        return None
    library = CDLL(str(path))
    library.caffe_error_text.restype = c_char_p
    return None if library.caffe_usable(c_int64(device)) else library


def _argument(value: torch.Tensor | int | float | None) -> Any:
    if isinstance(value, torch.Tensor):
        return c_void_p(value.data_ptr())
    if isinstance(value, float):
        return c_float(value)
    return c_void_p(None) if value is None else c_int64(value)


def call(name: str, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a C function: tensors become pointers, None a null pointer, ints int64_t, floats float.

    The first argument, a tensor, says where to compute. The last C parameters are not given: on the
    CPU the number of threads, PyTorch's; on a GPU its number and PyTorch's current stream. The
    caller sees to dtypes and to contiguous memory. Raises CaffeError for what CUDA reports.
    """
    first = arguments[0]
    assert isinstance(first, torch.Tensor)
    if first.device.type == "cpu":
        function = getattr(_cpu_library(), name)
        function(*map(_argument, arguments), c_int64(torch.get_num_threads()))
        return
    library = _cuda_library(first.device.index)
    assert library is not None, "`computes_on` said no"
    stream = torch.cuda.current_stream(first.device).cuda_stream
    with torch.cuda.device(first.device):
        tail = (c_int64(first.device.index), c_void_p(stream))
        status = getattr(library, name)(*map(_argument, arguments), *tail)
    if status:
        text = library.caffe_error_text(c_int64(status)).decode()
        raise CaffeError(f"{name}: CUDA error {status}, {text}")


def computes_on(device: torch.device) -> bool:
    """Whether there are native operators for this device."""
    if device.type == "cuda":
        return _cuda_library(device.index) is not None
    return device.type == "cpu"


def takes(*tensors: torch.Tensor) -> bool:
    """Whether the native path computes on these tensors: float32, all on one CPU or GPU."""
    device = tensors[0].device
    same = all(t.device == device and t.dtype == torch.float32 for t in tensors)
    return same and computes_on(device)


def check_tensors(tensors: dict[str, torch.Tensor]) -> None:
    """Raises ValueError, with the tensors' names, unless all hold floating-point numbers on one
    device, each no more of them than a blob may have.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: expected floating-point numbers, got {tensor.dtype}")
        checked_shape(tensor.shape)
    if len({tensor.device for tensor in tensors.values()}) > 1:
        where = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise ValueError(f"expected one device for all, got {where}")
