"""The shared library of the native operators, called through ctypes on raw pointers."""

from ctypes import CDLL, c_float, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch

from caffe.errors import CaffeError


@cache
def _library() -> CDLL:
    path = Path(__file__).with_name("libcaffe_ops.so")
    try:
        return CDLL(str(path))
    except OSError as error:
        raise CaffeError(
            f"{path}: the native operators cannot be loaded ({error}); build them with: "
            "pip install -e ."
        ) from error


def _argument(value: torch.Tensor | int | float | None) -> Any:
    if isinstance(value, torch.Tensor):
        return c_void_p(value.data_ptr())
    if isinstance(value, float):
        return c_float(value)
    return c_void_p(None) if value is None else c_int64(value)


def call(name: str, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a C function: tensors become pointers, None a null pointer, ints int64_t, floats float.

    The last C parameter, the number of threads, is PyTorch's. The caller sees to dtypes and to
    contiguous memory.
    """
    function = getattr(_library(), name)
    function(*map(_argument, arguments), c_int64(torch.get_num_threads()))


def takes(*tensors: torch.Tensor) -> bool:
    """Whether the native path computes on these tensors: float32 on the CPU."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
