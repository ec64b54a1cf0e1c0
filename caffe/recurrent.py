"""What the recurrent layers share: their bottoms and tops, the steps in time, the carried state."""

import logging
import math
from collections.abc import Sequence

import torch
from torch.nn.functional import linear

from caffe.layer import Count, Layer, Shape

_log = logging.getLogger("caffe")
States = tuple[torch.Tensor, ...]


def lstm_unit(c: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor) -> States:
    """One step of an LSTM: the new cell state and hidden state, both shaped as the old one, c.

    c' = cont sigmoid(f) c + sigmoid(i) tanh(g) and h' = sigmoid(o) tanh(c'), where the last axis
    of `gates` holds i, f, o, g one behind the other; cont broadcasts against c.
    """
    i, f, o, g = gates.chunk(4, dim=-1)
    c = cont * f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


class RecurrentLayer(Layer):
    """states_t = step(W_x x_t + b + W_static x_static + W_h (cont_t h_{t-1})), t = 1 .. T.

    bottoms: x (T, N, I...), T steps of N streams; cont (T, N), 0 where a stream starts anew and 1
    where it goes on from the step before; if the net gives one, x_static (N, S...), which all steps
    read; with `expose_hidden` one initial state (1, N, H) for each of `states`.
    tops: outputs (T, N, H); with `expose_hidden` the states after step T, each (1, N, H).
    blobs: W_x (gates H, I), b (gates H), W_static (gates H, S) if there is x_static, W_h (gates H,
    H), then those that the subclass adds; H is `num_output`, I and S count all axes behind N.
    Without `expose_hidden` each forward pass goes on from the states that the one before ended in,
    the first one, and one with another N, from zeros. No gradient reaches cont or an earlier
    forward pass, and, as in Caffe, none passes through exposed states. `debug_info` logs the mean
    |h| of each step.
    Raises CaffeError if num_output is missing or a bottom's shape does not fit.
    Source: Caffe's RecurrentLayer; Donahue et al., CVPR 2015.
    """

    repeatable = False

    states: tuple[str, ...]  # the first one is h
    gates = 1

    @property
    def exposed(self) -> tuple[str, ...]:
        return self.states if self.layer_param.recurrent_param.expose_hidden else ()

    @property
    def bottoms(self) -> Count:
        return 2 + len(self.exposed), 3 + len(self.exposed)

    @property
    def tops(self) -> Count:
        return 1 + len(self.exposed)

    @property
    def has_static(self) -> bool:
        return len(self.layer_param.bottom) > 2 + len(self.exposed)

    def setup(self, *bottom_shapes: Shape) -> None:
        param = self.layer_param.recurrent_param
        if not param.num_output:
            self.fail("recurrent_param.num_output must be given")
        self._check(bottom_shapes)
        rows = self.gates * param.num_output
        self.add_blob((rows, math.prod(bottom_shapes[0][2:])), param.weight_filler)
        self.add_blob((rows,), param.bias_filler)
        if self.has_static:
            self.add_blob((rows, math.prod(bottom_shapes[2][1:])), param.weight_filler)
        self.add_blob((rows, param.num_output), param.weight_filler)
        self._carried: States = ()

    def _check(self, shapes: Sequence[Shape]) -> None:
        x, cont, *rest = shapes
        if len(x) < 3:
            self.fail(f"expected a first bottom (T, N, I...), got {x}")
        if cont != x[:2]:
            self.fail(f"expected cont {x[:2]} with a first bottom {x}, got {cont}")
        streams = x[1]
        if self.has_static:
            static, *rest = rest
            if len(static) < 2 or static[0] != streams:
                self.fail(f"expected x_static ({streams}, S...), got {static}")
        wanted = (1, streams, self.layer_param.recurrent_param.num_output)
        for name, shape in zip(self.exposed, rest, strict=True):
            if shape != wanted:
                self.fail(f"expected {name}_0 {wanted}, got {shape}")

    def forward(
        self, x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        self._check([tuple(bottom.shape) for bottom in (x, cont, *rest)])
        weight_x, bias, *weights = self.weights
        inputs = linear(x.flatten(2), weight_x, bias)
        if self.has_static:
            inputs = inputs + linear(rest[0].flatten(1), weights.pop(0))
            rest = rest[1:]
        weight_h, *weights = weights
        states, hidden = tuple(state[0].detach() for state in rest), []
        states = states or self._resume(inputs)
        for own, keep in zip(inputs, cont.detach().unsqueeze(-1), strict=True):
            gates = torch.addmm(own, keep * states[0], weight_h.t())
            states = self.step(gates, states, keep)
            hidden.append(states[0])
            self._trace(len(hidden), states[0])
        last = tuple(state.detach() for state in states)
        if not (x.is_meta or torch.jit.is_tracing()):
            self._carried = last
        exposed = [state.unsqueeze(0) for state in last[: len(self.exposed)]]
        return (self.output(torch.stack(hidden), *weights), *exposed)

    def _resume(self, inputs: torch.Tensor) -> States:
        """The states (N, H) that the last forward pass ended in."""
        shape = (inputs.shape[1], self.layer_param.recurrent_param.num_output)
        anew = inputs.is_meta or torch.jit.is_tracing() or not self._carried
        if anew or self._carried[0].shape != shape:
            return tuple(inputs.new_zeros(shape) for _ in self.states)
        return tuple(state.to(inputs) for state in self._carried)

    def _trace(self, step: int, hidden: torch.Tensor) -> None:
        if self.layer_param.recurrent_param.debug_info and not hidden.is_meta:
            mean = float(hidden.detach().abs().mean())
            line = "    [Forward] Layer %s_unit_%d, top blob h_%d data: %.6g"
            _log.info(line, self.name, step, step, mean)

    def step(self, gates: torch.Tensor, states: States, cont: torch.Tensor) -> States:
        """The states (N, H) after one step, from W_x x_t + ... (N, gates H) and those before it.

        cont: (N, 1).
        """
        raise NotImplementedError

    def output(self, hidden: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        """The first top, from h of all steps (T, N, H) and the blobs that the subclass added."""
        return hidden
