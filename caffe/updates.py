"""The six update rules, and how a solver step applies one to all parameters of a net.

Everything works on lists of tensors, so a step costs a few kernels, not a few per parameter.
w: parameters, g: their gradients after clipping, iter_size and weight decay, h: history.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch.optim.sgd import sgd

from caffe.blob import Blob
from caffe.device import current_device
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Tensors = list[torch.Tensor]
Step = Callable[[int], torch.Tensor]


class Rule:
    """w <- w - rate * (what the rule makes of g and its history).

    `slots`: history tensors per parameter. Histories start as zeros and are changed in place;
    gradients must stay as they are, for autograd may hand one tensor to two parameters.
    """

    slots = 1
    momentum_free = False  # the rule is not defined with a momentum

    def __init__(self, param: caffe_pb2.SolverParameter, where: str) -> None:
        if self.momentum_free and param.momentum:
            name = type(self).__name__
            raise CaffeError(f"{where}: {name} has no momentum; expected 0, got {param.momentum:g}")
        self.momentum, self.momentum2 = param.momentum, param.momentum2
        self.delta, self.rms_decay = param.delta, param.rms_decay

    def update(self, w: Tensors, g: Tensors, history: list[Tensors], rate: float, t: int) -> Step:
        """Change w and history in place; t counts updates from 1.

        Gives what computes again, until history changes next, what was subtracted from w[i].
        """
        raise NotImplementedError

    def fused(
        self, w: Tensors, g: Tensors, history: list[Tensors], rate: float, decay: float
    ) -> Step | None:
        """`update` for g + decay * w in one pass over the memory, see `in_one_pass`.

        None where the tensors do not allow it; nothing has changed then.
        """
        return None


class SGD(Rule):
    """h <- momentum * h + rate * g;  w <- w - h. The rate is inside h, as in Caffe."""

    def fused(self, w, g, history, rate, decay):
        (h,) = history
        if not all(map(_lie_alike, w, g, h)):
            return None
        # PyTorch's rule has the rate outside h; its dampening leaves as much of g as we want.
        options = {"lr": 1.0, "dampening": 1 - rate, "nesterov": False, "maximize": False}
        sgd(w, g, list(h), fused=True, momentum=self.momentum, weight_decay=decay, **options)
        return lambda i: h[i].clone()

    def update(self, w, g, history, rate, t):
        (h,) = history
        torch._foreach_mul_(h, self.momentum)
        torch._foreach_add_(h, g, alpha=rate)
        torch._foreach_sub_(w, h)
        return lambda i: h[i].clone()


class Nesterov(Rule):
    """h' = momentum * h + rate * g;  w <- w - ((1 + momentum) * h' - momentum * h).

    Computed without the old h: the step is momentum * h' + rate * g.
    """

    def update(self, w, g, history, rate, t):
        (h,) = history
        torch._foreach_mul_(h, self.momentum)
        torch._foreach_add_(h, g, alpha=rate)
        torch._foreach_sub_(w, h, alpha=self.momentum)
        torch._foreach_sub_(w, g, alpha=rate)
        return lambda i: self.momentum * h[i] + rate * g[i]


class AdaGrad(Rule):
    """h <- h + g^2;  w <- w - rate * g / (sqrt(h) + delta)  (Duchi et al. 2011)."""

    momentum_free = True

    def update(self, w, g, history, rate, t):
        (h,) = history
        torch._foreach_addcmul_(h, g, g)
        return _subtract_ratio(w, g, h, self.delta, rate)


class RMSProp(Rule):
    """h <- rms_decay * h + (1 - rms_decay) * g^2;  w <- w - rate * g / (sqrt(h) + delta)."""

    momentum_free = True

    def update(self, w, g, history, rate, t):
        (h,) = history
        _decaying_square(h, g, self.rms_decay)
        return _subtract_ratio(w, g, h, self.delta, rate)


class AdaDelta(Rule):
    """Zeiler 2012; momentum is the decay of both averages.

    h1 <- momentum * h1 + (1 - momentum) * g^2
    u   = g * sqrt((delta + h2) / (delta + h1))
    h2 <- momentum * h2 + (1 - momentum) * u^2;  w <- w - rate * u
    """

    slots = 2

    def update(self, w, g, history, rate, t):
        h1, h2 = history
        _decaying_square(h1, g, self.momentum)
        u = list(torch._foreach_add(h2, self.delta))
        torch._foreach_div_(u, torch._foreach_add(h1, self.delta))
        torch._foreach_sqrt_(u)
        torch._foreach_mul_(u, g)
        _decaying_square(h2, u, self.momentum)
        torch._foreach_sub_(w, u, alpha=rate)
        return lambda i: rate * u[i]


class Adam(Rule):
    """Kingma & Ba 2015, with beta1 = momentum, beta2 = momentum2.

    m <- beta1 * m + (1 - beta1) * g;  v <- beta2 * v + (1 - beta2) * g^2
    w <- w - rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + delta)
    """

    slots = 2

    def update(self, w, g, history, rate, t):
        m, v = history
        torch._foreach_lerp_(m, g, 1 - self.momentum)
        _decaying_square(v, g, self.momentum2)
        correction = (1 - self.momentum2**t) ** 0.5 / (1 - self.momentum**t)
        return _subtract_ratio(w, m, v, self.delta, rate * correction)


def in_one_pass(param: caffe_pb2.SolverParameter) -> bool:
    """Whether PyTorch has a kernel for the solver's whole update, weight decay included."""
    l1 = param.weight_decay and param.regularization_type == "L1"
    return bool(param.type == "SGD" and param.momentum and not l1)


def _lie_alike(w: torch.Tensor, g: torch.Tensor, h: torch.Tensor) -> bool:
    """Whether a kernel may take them for three rows of numbers in one order."""
    dense = w.is_contiguous() or w.is_contiguous(memory_format=torch.channels_last)
    return dense and w.stride() == g.stride() == h.stride() and w.device.type in ("cpu", "cuda")


def _decaying_square(h: Tensors, g: Tensors, decay: float) -> None:
    """h <- decay * h + (1 - decay) * g^2"""
    torch._foreach_mul_(h, decay)
    torch._foreach_addcmul_(h, g, g, value=1 - decay)


def _subtract_ratio(w: Tensors, top: Tensors, squares: Tensors, delta: float, rate: float) -> Step:
    """w <- w - rate * top / (sqrt(squares) + delta)"""
    root = torch._foreach_sqrt(squares)
    torch._foreach_add_(root, delta)
    torch._foreach_addcdiv_(w, top, root, value=-rate)
    return lambda i: rate * top[i] / (squares[i].sqrt() + delta)


class Updater:
    """One solver step for all parameters of a net, in Caffe's order.

    The gradients that iter_size passes added up are scaled down if their joint L2 norm exceeds
    clip_gradients, divided by iter_size, regularised (L2: + decay * w, L1: + decay * sign(w)) and
    handed to the rule. rate and decay are multiplied by each parameter's lr_mult and decay_mult.
    """

    def __init__(
        self,
        rule: Rule,
        param: caffe_pb2.SolverParameter,
        learnable: Sequence[tuple[Blob, caffe_pb2.ParamSpec]],
    ) -> None:
        self._rule, self._param = rule, param
        self._blobs = [blob for blob, _ in learnable]
        self._history: list[list[torch.Tensor | None]] = [
            [None] * len(learnable) for _ in range(rule.slots)
        ]
        self._groups: dict[tuple[float, float], list[int]] = defaultdict(list)
        for i, (_, spec) in enumerate(learnable):
            self._groups[spec.lr_mult, param.weight_decay * spec.decay_mult].append(i)

    @torch.no_grad()
    def apply(self, rate: float, iteration: int) -> None:
        """Update all parameters; `iteration` counts from 0.

        Their diffs then hold what was subtracted from them, as in Caffe.
        """
        device = current_device()
        scale = self._clip_scale(device) / self._param.iter_size
        for (lr_mult, decay), indices in self._groups.items():
            moving = [i for i in indices if not self._rests(i, decay)]
            if not moving:
                continue
            weights = [self._blobs[i].tensor(device) for i in moving]
            grads = [self._blobs[i].diff_tensor(device) for i in moving]
            if scale != 1:
                grads = list(torch._foreach_mul(grads, scale))
            history = self._history_of(moving, weights)
            step = self._step(weights, grads, history, rate * lr_mult, decay, iteration + 1)
            for k, (i, weight) in enumerate(zip(moving, weights, strict=True)):
                self._blobs[i].store(weight)  # on a GPU, numpy views are behind from here on
                self._blobs[i].defer_diff(partial(step, k))

    def _rests(self, i: int, decay: float) -> bool:
        """Nothing acts on it: a frozen teacher's parameters cost neither time nor memory."""
        still = all(slot[i] is None for slot in self._history)
        return still and not decay and not self._blobs[i].learned

    def _clip_scale(self, device: torch.device) -> float:
        limit = self._param.clip_gradients
        if limit < 0:
            return 1.0
        grads = [blob.diff_tensor(device) for blob in self._blobs if blob.learned]
        norm = float(torch.stack(torch._foreach_norm(grads)).norm()) if grads else 0.0
        return limit / norm if norm > limit else 1.0

    def _step(
        self, w: Tensors, g: Tensors, history: list[Tensors], rate: float, decay: float, t: int
    ) -> Step:
        if in_one_pass(self._param) and (step := self._rule.fused(w, g, history, rate, decay)):
            return step
        if decay:
            pull = torch._foreach_sign(w) if self._param.regularization_type == "L1" else w
            g = list(torch._foreach_add(g, pull, alpha=decay))
        return self._rule.update(w, g, history, rate, t)

    def _history_of(self, indices: list[int], weights: Tensors) -> list[Tensors]:
        history: list[Tensors] = []
        for slot in self._history:
            history.append([])
            for i, weight in zip(indices, weights, strict=True):
                held = slot[i]
                held = torch.zeros_like(weight) if held is None else held.to(weight.device)
                slot[i] = held
                history[-1].append(held)
        return history

    @property
    def history(self) -> list[np.ndarray]:
        """Slot by slot, each in the order of the net's parameters: a .solverstate's layout."""
        return [
            np.zeros(blob.shape, np.float32) if held is None else held.cpu().numpy()
            for slot in self._history
            for blob, held in zip(self._blobs, slot, strict=True)
        ]

    def check_history(self, arrays: Sequence[np.ndarray]) -> None:
        """CaffeError if this is not what `history` gives, by count and shapes."""
        count = len(self._blobs)
        if len(arrays) != count * self._rule.slots:
            name = type(self._rule).__name__
            raise CaffeError(
                f"expected {count * self._rule.slots} history blobs ({name} keeps "
                f"{self._rule.slots} for each of {count} parameters), got {len(arrays)}; "
                "the state belongs to another net or solver type"
            )
        for i, array in enumerate(arrays):
            blob = self._blobs[i % count]
            if array.size != blob.count:
                raise CaffeError(
                    f"history blob {i}: expected shape {blob.shape}, got {array.shape}; "
                    "the state belongs to another net"
                )

    def set_history(self, arrays: Sequence[np.ndarray]) -> None:
        """Take back what `history` gave."""
        count = len(self._blobs)
        for i, array in enumerate(arrays):
            held = torch.from_numpy(array.reshape(self._blobs[i % count].shape).copy())
            self._history[i // count][i % count] = held if array.any() else None
