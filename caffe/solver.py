"""Solvers: train a net as a solver prototxt says. `caffe.SGDSolver(path)` and its kin."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from caffe import lr_policy, parallel, scoring, solver_param, solverstate, updates
from caffe.device import current_device, set_random_seed
from caffe.errors import CaffeError
from caffe.glog import ensure_log
from caffe.net import Net
from caffe.precision import LossScale, get_precision
from caffe.proto import caffe_pb2
from caffe.signals import Effect, SignalRequests

_log = logging.getLogger("caffe")


class Solver:
    """Trains `net` and tests `test_nets`, which share its parameters: pycaffe's `Solver`.

    Solver(path) or Solver(SolverParameter). Paths in it are relative to the working directory.
    net, test_nets, iter (updates done), param (the SolverParameter), smoothed_loss (mean over the
    last average_loss iterations of one `step` or `solve`), stopped (the last `solve` was ended by a
    signal), signals (what SIGINT and SIGHUP do during `solve`). Of several processes (see
    caffe/parallel.py) only the first has test nets, writes snapshots and logs.

    Raises CaffeError naming the solver file and the field for anything that cannot work.
    """

    rule: type[updates.Rule]

    def __init__(self, solver: str | os.PathLike | caffe_pb2.SolverParameter) -> None:
        ensure_log()
        self.param = solver_param.read(solver)
        rule = self.rule(self.param, solver_param.place(solver))
        if self.param.random_seed >= 0:
            set_random_seed(self.param.random_seed + parallel.solver_rank())
        train = solver_param.train_net(self.param)
        tests = solver_param.test_nets(self.param) if parallel.is_root() else []
        self.net = _built(train)
        self.test_nets = [_built(net) for net in tests]
        for weights in self.param.weights:
            self._load_weights(weights)
        for test_net in self.test_nets:
            test_net.share_with(self.net)
        for net in self.test_nets:
            net.debug_info = net.debug_info or self.param.debug_info
        self._debugs = self.net.debug_info  # the net's own text asks for it in every iteration
        self._updater = updates.Updater(rule, self.param, self.net.learnable())
        self._loss_scale = LossScale()
        self._iter = 0
        self._losses: deque[float] = deque(maxlen=self.param.average_loss)
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self.signals = SignalRequests()
        self.stopped = False
        self._shown_at = (0, time.perf_counter())
        self._saved_at: int | None = None  # the iteration of the last snapshot
        _log.info("Solver scaffolding done.")

    def _load_weights(self, files: str) -> None:
        for path in files.split(","):
            _log.info("Finetuning from %s", path.strip())
            self.net.copy_from(path.strip())
            for net in self.test_nets:
                if net.params.keys() - self.net.params.keys():  # the others will be shared
                    net.copy_from(path.strip())

    @property
    def iter(self) -> int:
        return self._iter

    @property
    def smoothed_loss(self) -> float:
        return sum(self._losses) / max(1, len(self._losses))

    def share_weights(self, net: Net) -> None:
        """Let another net use the parameters of this one from now on, by layer name."""
        net.share_with(self.net)

    def add_callback(
        self,
        on_start: Any,
        on_gradients_ready: Callable[[], object] | None = None,
    ) -> None:
        """Call these before each iteration's passes, and between its gradients and its update.

        Two callables, or one object with methods of those names, like a caffe.NCCL.
        """
        if on_gradients_ready is None:
            self._callbacks.append((on_start.on_start, on_start.on_gradients_ready))
        else:
            self._callbacks.append((on_start, on_gradients_ready))

    # -- training ----------------------------------------------------------------------------------

    def step(self, iterations: int) -> None:
        """Train for so many iterations, testing, logging and writing snapshots when due.

        `debug_info` of the solver speaks in the iterations that are displayed.
        """
        self._losses.clear()
        for _ in range(iterations):
            if self._due(self.param.test_interval) and (
                self._iter or self.param.test_initialization
            ):
                self._test_all()
                if parallel.from_root(self.signals.stop):
                    self.signals.take()
                    self.stopped = True
                    return
            self._train()
            self._iter += 1
            asked = Effect(parallel.from_root(self.signals.take()))
            if asked == Effect.SNAPSHOT or self._due(self.param.snapshot):
                self._snapshot_once()
            if asked == Effect.STOP:
                self.stopped = True
                return

    def _due(self, interval: int) -> bool:
        return interval > 0 and self._iter % interval == 0

    def _train(self) -> None:
        for on_start, _ in self._callbacks:
            on_start()
        self.net.clear_param_diffs()
        self.net.debug_info = self._debugs or (
            self.param.debug_info and self._due(self.param.display)
        )
        self.net.loss_scale = self._loss_scale.value if get_precision() == "fp16" else 1.0
        passes = self.param.iter_size
        self._losses.append(sum(self.net.forward_backward() for _ in range(passes)) / passes)
        if self._due(self.param.display):
            self._show()
        if self._unscale_gradients():
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()

    def _unscale_gradients(self) -> bool:
        """Take the loss scale out of the gradients; False if one is not finite."""
        if self.net.loss_scale == 1:
            return True
        finite = True
        for blob, _ in self.net.learnable():
            if blob.learned:
                grad = blob.diff_tensor(current_device()) / self.net.loss_scale
                blob.store_diff(grad)
                finite = finite and bool(grad.isfinite().all())
        self._loss_scale.update(finite)
        return finite

    def apply_update(self) -> None:
        """Change the parameters by the gradients in their diffs; `step` does this by itself."""
        self._updater.apply(lr_policy.learning_rate(self.param, self._iter), self._iter)

    def solve(self, resume_file: str | os.PathLike | None = None) -> None:
        """Train until max_iter, from the start or from a .solverstate.

        SIGINT ends the current iteration, writes a snapshot unless snapshot_after_train is false,
        and returns (see `stopped`); SIGHUP writes a snapshot and goes on. Other effects:
        `solver.signals = SignalRequests(...)`.
        """
        if not self.param.HasField("max_iter"):
            raise CaffeError("solver: max_iter is missing; give it, or call step(n)")
        _log.info("Solving %s", self.net.name)
        _log.info("Learning Rate Policy: %s", self.param.lr_policy)
        if resume_file is not None:
            _log.info("Restoring previous solver status from %s", resume_file)
            self.restore(resume_file)
        self.stopped = False
        with self.signals:
            self.step(self.param.max_iter - self._iter)
        if self.param.snapshot_after_train:
            self._snapshot_once()
        if self.stopped:
            _log.info("Optimization stopped early.")
            return
        if self._due(self.param.display):
            # One more batch, so that the log ends with the loss behind the last update.
            self._losses.extend(loss for loss, _ in scoring.batches(self.net, 1))
            _log.info("Iteration %d, loss = %g", self._iter, self.smoothed_loss)
        if self._due(self.param.test_interval):
            self._test_all()
        _log.info("Optimization Done.")

    def _snapshot_once(self) -> None:
        if parallel.is_root() and self._saved_at != self._iter:
            self.snapshot()

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write <snapshot_prefix>_iter_<iter>.caffemodel and .solverstate.

        With `snapshot_format: HDF5` both end in .h5; with `snapshot_diff` the weights hold the
        parameters' diffs, too: what the last update subtracted from them.
        """
        if not self.param.snapshot_prefix:
            raise CaffeError("solver: snapshot_prefix is missing")
        stem = f"{self.param.snapshot_prefix}_iter_{self._iter}"
        hdf5 = self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
        suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
        weights, state = f"{stem}.caffemodel{suffix}", f"{stem}.solverstate{suffix}"
        _log.info("Snapshotting to %s file %s", kind, weights)
        # The weights first, so that a state never names weights that are not there.
        self.net.save(weights, self.param.snapshot_diff)
        _log.info("Snapshotting solver state to %s file %s", kind, state)
        last = max(0, self._iter - 1)  # Caffe stores the step of the last update
        step = lr_policy.current_step(self.param, last)
        solverstate.save(state, self._iter, weights, self._updater.history, step)
        self._saved_at = self._iter

    def restore(self, state_file: str | os.PathLike) -> None:
        """Continue from a .solverstate or .solverstate.h5 and the weights that it names.

        Raises CaffeError naming the file if it does not fit this solver or net; then solver and net
        are as they were.
        """
        iteration, weights, history = solverstate.load(state_file)
        try:
            self._updater.check_history(history)
        except CaffeError as error:
            raise CaffeError(f"{state_file}: {error}") from None
        if weights is not None:
            self.net.copy_from(weights)
        self._updater.set_history(history)
        self._iter, self._saved_at = iteration, None
        self._shown_at = (iteration, time.perf_counter())
        self._losses.clear()
        _log.info("Restored from %s at iteration %d", state_file, iteration)

    # -- what the log shows ------------------------------------------------------------------------

    def _show(self) -> None:
        done, since = self._shown_at
        now = time.perf_counter()
        self._shown_at = (self._iter, now)
        seconds = now - since
        _log.info(
            "Iteration %d (%g iter/s, %gs/%d iters), loss = %g",
            *(self._iter, (self._iter - done) / seconds, seconds, self.param.display),
            self.smoothed_loss,
        )
        self._log_outputs(self.net, {name: self.net.blobs[name].data for name in self.net.outputs})
        rate = lr_policy.learning_rate(self.param, self._iter)
        _log.info("Iteration %d, lr = %g", self._iter, rate)

    def _log_outputs(self, net: Net, outputs: Mapping[str, np.ndarray]) -> None:
        phase = "Train" if net is self.net else "Test"
        for index, line in enumerate(scoring.output_lines(net, outputs)):
            _log.info("    %s net output #%d: %s", phase, index, line)

    def _test_all(self) -> None:
        for index, (net, passes) in enumerate(
            zip(self.test_nets, self.param.test_iter, strict=False)
        ):
            _log.info("Iteration %d, Testing net (#%d)", self._iter, index)
            mean = scoring.Mean()
            for loss, outputs in scoring.batches(net, passes):
                mean.add(loss, outputs)
                if self.signals.stop:
                    _log.info("Test interrupted.")
                    return
            if self.param.test_compute_loss:
                _log.info("Test loss: %g", mean.loss)
            self._log_outputs(net, mean.outputs)


def _built(net: caffe_pb2.NetParameter) -> Net:
    return Net(net, phase=net.state.phase, level=net.state.level)


class SGDSolver(Solver):
    rule = updates.SGD


class NesterovSolver(Solver):
    rule = updates.Nesterov


class AdaGradSolver(Solver):
    rule = updates.AdaGrad


class RMSPropSolver(Solver):
    rule = updates.RMSProp


class AdaDeltaSolver(Solver):
    rule = updates.AdaDelta


class AdamSolver(Solver):
    rule = updates.Adam


_SOLVERS: dict[str, type[Solver]] = {
    cls.rule.__name__: cls
    for cls in (
        SGDSolver,
        NesterovSolver,
        AdaGradSolver,
        RMSPropSolver,
        AdaDeltaSolver,
        AdamSolver,
    )
}


def get_solver(solver: str | os.PathLike | caffe_pb2.SolverParameter) -> Solver:
    """The solver that the prototxt's `type` (or old `solver_type`) names."""
    param = solver_param.read(solver)
    if param.type not in _SOLVERS:
        raise CaffeError(
            f'{solver_param.place(solver)}: unknown solver type "{param.type}"; expected one of '
            f"{', '.join(_SOLVERS)}"
        )
    return _SOLVERS[param.type](solver)
