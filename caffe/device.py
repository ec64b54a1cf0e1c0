"""Where the engine computes and which numbers chance gives: `caffe.set_mode_gpu()` and its kin."""

import os
import resource
from typing import Any

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.precision import get_precision, set_precision

_state: dict[str, Any] = {"gpu": False, "device": torch.device("cuda", 0)}


def set_mode_cpu() -> None:
    """Compute on the CPU (the default)."""
    _state["gpu"] = False


def set_mode_gpu() -> None:
    """Compute on the GPU chosen by `set_device`.

    Raises CaffeError if PyTorch sees no GPU.
    """
    if not torch.cuda.is_available():
        raise CaffeError(
            "set_mode_gpu: PyTorch sees no CUDA GPU; call caffe.set_mode_cpu(), or install a CUDA "
            "build of torch and check nvidia-smi"
        )
    set_precision(get_precision())
    _state["gpu"] = True


def check_mode_cpu() -> bool:
    """Whether nets compute on the CPU now."""
    return current_device().type == "cpu"


def check_mode_gpu() -> bool:
    """Whether nets compute on a GPU now."""
    return not check_mode_cpu()


def set_device(device_id: int) -> None:
    """Use GPU number `device_id` (from 0) in GPU mode."""
    count = torch.cuda.device_count()
    if torch.cuda.is_available() and not 0 <= device_id < count:
        raise CaffeError(f"set_device({device_id}): expected 0 to {count - 1}")
    _state["device"] = torch.device("cuda", device_id)


def current_device() -> torch.device:
    """The torch device that nets compute on now."""
    return _state["device"] if _state["gpu"] else torch.device("cpu")


def set_random_seed(seed: int) -> None:
    """Seed the fillers, dropout and numpy's global generator, which Python layers draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def device_name() -> str:
    """The CPU's or GPU's model name, for logs."""
    device = current_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def peak_memory() -> str:
    """The most memory that this process has held so far, and PyTorch on the GPU, for logs."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    device = current_device()
    if device.type == "cuda":
        gpu = torch.cuda.max_memory_allocated(device) / 2**30
        return f"{host:.2f} GiB, {gpu:.2f} GiB on the GPU"
    return f"{host:.2f} GiB"
