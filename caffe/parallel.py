"""Training with several processes, one GPU each: pycaffe's solver count, rank and NCCL.

Every process has the whole solver and reads its own share of the records; the gradients are
averaged between the backward pass and the update, so all keep the same parameters. Underneath is
torch.distributed, with NCCL between GPUs and gloo between CPUs. A process that trains alone has
none of it.
"""

import atexit
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from caffe.device import current_device
from caffe.errors import CaffeError

if TYPE_CHECKING:
    from caffe.solver import Solver

_state = {"count": 1, "rank": 0, "multiprocess": False}
# Everybody waits while the first process tests or writes a snapshot.
_PATIENCE = timedelta(days=7)


def solver_count() -> int:
    """How many processes train together."""
    return _state["count"]


def set_solver_count(count: int) -> None:
    """Say how many processes train together; before the solver is made."""
    if count < 1:
        raise CaffeError(f"set_solver_count({count}): expected at least 1")
    _state["count"] = count


def solver_rank() -> int:
    """This process's number among them, from 0."""
    return _state["rank"]


def set_solver_rank(rank: int) -> None:
    """Say which of the processes this one is; only number 0 logs, tests and writes snapshots."""
    if rank < 0:
        raise CaffeError(f"set_solver_rank({rank}): expected at least 0")
    _state["rank"] = rank


def multiprocess() -> bool:
    return bool(_state["multiprocess"])


def set_multiprocess(value: bool) -> None:
    """Caffe's switch between processes and threads; here it is always processes."""
    _state["multiprocess"] = bool(value)


def is_root() -> bool:
    """Whether this process logs, tests and writes snapshots."""
    return _state["rank"] == 0


def share() -> tuple[int, int]:
    """(rank, count): of the records of its source, record i is this process's if i % count = rank.

    For training nets only; testing nets read all records.
    """
    return _state["rank"], _state["count"]


def _quiet(record: logging.LogRecord) -> bool:
    return is_root() or record.levelno > logging.INFO


logging.getLogger("caffe").addFilter(_quiet)


def has_nccl() -> bool:
    """Whether several GPUs can train together."""
    return dist.is_available() and dist.is_nccl_available()


class NCCL:
    """Keeps a solver's parameters and gradients the same in all processes.

    NCCL(solver, uid), with the same uid from `NCCL.new_uid()` in every process, waits for the
    others. solver.add_callback(nccl) then averages the gradients before each update.
    Raises CaffeError if the processes cannot meet, or lose each other later.
    """

    def __init__(self, solver: "Solver", uid: str) -> None:
        self._solver = solver
        if solver_count() > 1:
            _meet(uid)

    @staticmethod
    def new_uid() -> str:
        """A name for the processes of one machine to meet under."""
        return os.path.join(tempfile.gettempdir(), f"caffe-nccl-{uuid.uuid4().hex}")

    def bcast(self) -> None:
        """Give every process the first one's parameters."""
        blobs = [blob for blob, _ in self._solver.net.learnable()]
        tensors = [blob.tensor(current_device()).detach() for blob in blobs]
        parts = _exchange(tensors, lambda flat: dist.broadcast(flat, 0))
        for blob, part in zip(blobs, parts, strict=True):
            blob.store(part)

    def on_start(self) -> None:
        """Nothing: all processes have the same parameters from `bcast` on."""

    def on_gradients_ready(self) -> None:
        """Make each parameter's diff the mean of all processes'."""
        blobs = [blob for blob, _ in self._solver.net.learnable() if blob.learned]
        diffs = [blob.diff_tensor(current_device()) for blob in blobs]
        parts = _exchange(diffs, lambda flat: dist.all_reduce(flat.div_(solver_count())))
        for blob, part in zip(blobs, parts, strict=True):
            blob.store_diff(part)


def _meet(uid: str) -> None:
    if dist.is_initialized():
        return
    device = current_device()
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{uid}",
            rank=solver_rank(),
            world_size=solver_count(),
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise CaffeError(
            f"solver {solver_rank()} of {solver_count()} cannot join the others: "
            f"{str(error).splitlines()[0]}"
        ) from None
    atexit.register(leave)


def leave() -> None:
    """Train alone again."""
    if dist.is_initialized():
        dist.destroy_process_group()
    _state.update(count=1, rank=0, multiprocess=False)


def _exchange(
    tensors: list[torch.Tensor], work: Callable[[torch.Tensor], object]
) -> Sequence[torch.Tensor]:
    """What a collective operation, `work`, makes of the tensors; it sees them as one."""
    if solver_count() == 1 or not tensors:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    try:
        work(flat)
    except RuntimeError as error:
        raise CaffeError(
            f"solver {solver_rank()} of {solver_count()} lost the others: "
            f"{str(error).splitlines()[0]}"
        ) from None
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for tensor, part in zip(tensors, parts, strict=True)]


def from_root(number: int) -> int:
    """The first process's number, in every process that has met the others."""
    if solver_count() == 1 or not dist.is_initialized():
        return number
    (told,) = _exchange(
        [torch.tensor([number], device=current_device())], lambda flat: dist.broadcast(flat, 0)
    )
    return int(told)
