"""Training by one process per device: what `caffe train --gpu 0,1` starts."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from caffe import device, parallel
from caffe.errors import CaffeError
from caffe.precision import set_precision
from caffe.proto import caffe_pb2
from caffe.signals import SignalRequests
from caffe.solver import Solver, get_solver


class Options(NamedTuple):
    """How to compute, see caffe/precision.py and caffe/recompute.py."""

    precision: str = "fp32"
    recompute: bool = False


_PLAIN = Options()


class Job(NamedTuple):
    """What every process needs to know."""

    solver: bytes  # a SolverParameter
    snapshot: str | None  # the state to resume from
    devices: tuple[int | None, ...]  # a GPU's number, or None for the CPU, for each process
    uid: str
    options: Options


def choose_device(number: int | None) -> None:
    """Compute on that GPU, or with None on the CPU. CaffeError if there is no such GPU."""
    if number is None:
        device.set_mode_cpu()
    else:
        device.set_mode_gpu()
        device.set_device(number)


def train(
    param: caffe_pb2.SolverParameter,
    snapshot: str | None,
    devices: Sequence[int | None],
    signals: SignalRequests,
    options: Options = _PLAIN,
) -> Solver:
    """Solve, with one process for each of the devices; this one is the first. Its solver.

    Raises CaffeError for whatever cannot work. If another process fails, this one ends, too.
    """
    uid = parallel.NCCL.new_uid()
    job = Job(param.SerializeToString(), snapshot, tuple(devices), uid, options)
    try:
        solver = _solver(job, 0)  # before the others start, so that a mistake is told once
        solver.signals = signals
        with _others(job):
            _solve(solver, job)
            parallel.leave()  # before the others are waited for, who might wait for this one
    finally:
        parallel.leave()
    return solver


def _solver(job: Job, rank: int) -> Solver:
    set_precision(job.options.precision)
    choose_device(job.devices[rank])
    parallel.set_solver_count(len(job.devices))
    parallel.set_solver_rank(rank)
    parallel.set_multiprocess(len(job.devices) > 1)
    solver = get_solver(caffe_pb2.SolverParameter.FromString(job.solver))
    solver.net.recompute = job.options.recompute
    if job.snapshot:
        solver.restore(job.snapshot)
    return solver


def _solve(solver: Solver, job: Job) -> None:
    if len(job.devices) > 1:
        nccl = parallel.NCCL(solver, job.uid)
        nccl.bcast()
        solver.add_callback(nccl)
    solver.solve()


@contextmanager
def _others(job: Job) -> Iterator[None]:
    """The processes of all devices but the first, which end with the context."""
    spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    processes = [
        spawn.Process(target=_follow, args=(job, rank), name=f"solver {rank}", daemon=True)
        for rank in range(1, len(job.devices))
    ]
    for process in processes:
        process.start()
    if processes:
        threading.Thread(target=_end_with, args=(processes,), daemon=True).start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    for process in processes:
        process.join()


def _end_with(processes: list[BaseProcess]) -> None:
    """End this process if one of the others fails: it would wait for that one forever."""
    running = list(processes)
    while running:
        ready = connection.wait([process.sentinel for process in running])
        ended = [process for process in running if process.sentinel in ready]
        for process in ended:
            process.join()  # only then there is an exit code
        failed = [process.name for process in ended if process.exitcode]
        running = [process for process in running if process not in ended]
        if failed:
            print(f"caffe: {', '.join(failed)} failed, so all end", file=sys.stderr, flush=True)
            for process in running:
                process.terminate()
            os._exit(1)


def _follow(job: Job, rank: int) -> None:
    """What a process other than the first does; the first one tells it when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _solve(_solver(job, rank), job)
    except CaffeError as error:
        print(f"caffe: solver {rank}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only children follow"
    parent.join()
    os._exit(1)
