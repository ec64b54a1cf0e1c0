"""The rois blob: checks that all its readers share.

rois (R, 6): image index, x1, y1, x2, y2 (input pixels, inclusive corners), score; or (R, 5) without
score.

On the CPU an impossible row raises before anything is computed. To do so for rois on a GPU, the
host would have to wait for all work queued there, in each operator of each pass. Instead a kernel
checks them: an impossible row becomes NaN, which reaches the operators' results and which their
kernels never follow into memory, and a report is written to host memory. Whatever operator is
called next after the GPU got there raises it; with CUDA_LAUNCH_BLOCKING=1 that is the call at
fault.
"""

from functools import cache

import torch

from caffe.ops import native

_CPU = torch.device("cpu")


def check_shape(shape: tuple[int, ...], columns: tuple[int, ...] = (5, 6)) -> None:
    """Raises ValueError if `shape` is not (R, one of `columns`)."""
    if len(shape) != 2 or shape[1] not in columns:
        wanted = " or ".join(f"(R, {n})" for n in columns)
        raise ValueError(
            f"rois: expected shape {wanted}, columns image index, x1, y1, x2, y2"
            f"{', score' if 6 in columns else ''}; got {tuple(shape)}"
        )


def checked_rois(
    rois: torch.Tensor,
    device: torch.device,
    images: int | None = None,
    scale: float = 1.0,
    columns: tuple[int, ...] = (5, 6),
) -> torch.Tensor:
    """The rois in float32 on `device`, without gradient.

    Raises ValueError naming the first row with a number that is not finite or beyond 2^24, on the
    map (`scale` times as large) too, or with an image index that is not whole, negative or, if
    `images` is given, not below it. When it does so for rois on a GPU: see above.
    """
    check_shape(tuple(rois.shape), columns)
    if rois.is_complex():
        raise ValueError(f"rois: expected real numbers, got {rois.dtype}")
    rows = rois.detach().to(torch.float32).contiguous()
    if rows.device != device or not native.computes_on(device):
        rows = rows.cpu()
    own = rows.device.type == "cpu"
    report = _new_report(rows.device) if own else _gpu_report(rows.device)
    raise_reported(report)
    checked = torch.empty_like(rows)
    limit = -1 if images is None else images
    native.call("caffe_check_rois", rows, *rows.shape, limit, float(scale), checked, report)
    raise_reported(report)
    return checked.to(device)


def _new_report(device: torch.device) -> torch.Tensor:
    """struct Report in csrc/rois.h, in memory that the host and `device` both reach."""
    return torch.full((9,), -1, dtype=torch.int32, pin_memory=device.type == "cuda")


_gpu_report = cache(_new_report)  # one for each GPU, since it is read by a later call


def raise_reported(report: torch.Tensor) -> None:
    """Raises ValueError if a row was reported, and forgets it."""
    row, images, columns, *_ = report.tolist()
    if row < 0:
        return
    values = report[3 : 3 + columns].view(torch.float32).tolist()
    report.fill_(-1)
    limit = "a whole number" if images < 0 else f"0 to {images - 1}"
    raise ValueError(
        f"rois row {row}: expected finite numbers up to 2^24, on the map too, and an image index "
        f"({limit}), got {[round(value, 4) for value in values]}"
    )
