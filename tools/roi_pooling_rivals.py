"""RoI pooling with scores, forward + backward, next to two rivals: what tools/bench.py times.

On the CPU the rival is a plain C++ loop (roi_pooling_rival.cpp), compiled here for this very
processor, whose buffers are allocated once. On a GPU it is torchvision, which knows no scores.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from ctypes import CDLL, c_float, c_int64, c_void_p
from pathlib import Path

import numpy as np
import torch

from caffe.memory import keep_freed_memory
from caffe.ops import native
from caffe.ops.roi_pooling import roi_pooling

BINS, SCALE = 7, 1 / 16
Calls = dict[str, Callable[[], object]]


def sample(boxes: int, channels: int = 512, side: int = 42) -> tuple[torch.Tensor, ...]:
    """maps (1, channels, side, side), rois (boxes, 6) all over them, and the top's gradient."""
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, side / SCALE - 1, (boxes, 2, 2)), axis=1).reshape(boxes, 4)
    rois = np.column_stack([np.zeros(boxes), corners, rng.uniform(0, 1, boxes)])
    maps = rng.standard_normal((1, channels, side, side), np.float32)
    top_diff = rng.standard_normal((boxes, channels, BINS, BINS), np.float32)
    return torch.tensor(maps), torch.tensor(rois, dtype=torch.float32), torch.tensor(top_diff)


def ours(maps: torch.Tensor, rois: torch.Tensor, top_diff: torch.Tensor) -> Callable:
    """A call that gives the top and the maps' gradient."""

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = maps.detach().requires_grad_(True)
        top = roi_pooling(leaf, rois, BINS, BINS, SCALE, 10.0, 1.0)
        return top, torch.autograd.grad(top, [leaf], top_diff)[0]

    return call


def cpp_loop(maps: torch.Tensor, rois: torch.Tensor, top_diff: torch.Tensor) -> Callable:
    """The same by the C++ loop."""
    library = _compiled()
    top, argmax = torch.empty_like(top_diff), torch.empty_like(top_diff, dtype=torch.int32)
    maps_diff = torch.empty_like(maps)
    _, channels, height, width = map(c_int64, maps.shape)
    boxes, pixels = c_int64(len(rois)), c_int64(maps[0, 0].numel())
    at = {t: c_void_p(t.data_ptr()) for t in (maps, rois, top_diff, top, argmax, maps_diff)}

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        library.rival_forward(
            *(at[maps], channels, height, width, at[rois], boxes, c_int64(BINS)),
            *(c_float(SCALE), at[top], at[argmax]),
        )
        maps_diff.zero_()
        library.rival_backward(
            *(at[top_diff], at[argmax], channels, pixels, at[rois], boxes, c_int64(BINS)),
            at[maps_diff],
        )
        return top, maps_diff

    return call


def _compiled() -> CDLL:
    source = Path(__file__).with_name("roi_pooling_rival.cpp")
    flags = ["-O3", "-march=native", "-ffp-contract=off", "-fopenmp", "-shared", "-fPIC"]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "rival.so"
        compiler = os.environ.get("CXX", "g++").split()
        subprocess.run([*compiler, *flags, str(source), "-o", str(library)], check=True)
        return CDLL(str(library))


def cpu_calls(boxes: int) -> Calls:
    """Ours and the C++ loop."""
    keep_freed_memory()  # as every net does; the loop's buffers are there from the start
    inputs = sample(boxes)
    return {"native": ours(*inputs), "C++ loop": cpp_loop(*inputs)}


def gpu_calls(boxes: int) -> Calls | str:
    """Ours and torchvision's roi_pool, each waited for; or why they cannot be timed."""
    if not torch.cuda.is_available():
        return "no GPU"
    try:
        from torchvision.ops import roi_pool
    except ImportError:
        return "no torchvision"
    if not native.computes_on(torch.device("cuda", torch.cuda.current_device())):
        return "no kernels for this GPU"
    maps, rois, top_diff = (tensor.cuda() for tensor in sample(boxes))
    native_call, corners = ours(maps, rois, top_diff), rois[:, :5].contiguous()

    def kernels() -> None:
        native_call()
        torch.cuda.synchronize()

    def torchvision() -> None:
        leaf = maps.detach().requires_grad_(True)
        top = roi_pool(leaf, corners, BINS, SCALE)
        torch.autograd.grad(top, [leaf], top_diff)
        torch.cuda.synchronize()

    return {"kernels": kernels, "torchvision": torchvision}
