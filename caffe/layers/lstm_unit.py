"""LSTMUnit: one step of an LSTM, from its gates."""

import torch

from caffe.layer import Layer
from caffe.recurrent import lstm_unit
from caffe.registry import register


@register("LSTMUnit")
class LSTMUnit(Layer):
    """c_t = cont sigmoid(f) c_{t-1} + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t).

    bottoms: c_{t-1} (1, N, H); gates (1, N, 4 H), the values of i, f, o and g before their
    nonlinearities, one behind the other; cont (1, N), 0 where a stream starts anew, else 1; no
    gradient for cont.
    tops: c_t and h_t, both (1, N, H).
    Raises CaffeError if the shapes do not fit. Source: Caffe's LSTMUnitLayer.
    """

    bottoms = 3
    tops = 2

    def forward(
        self, c: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shapes = [tuple(bottom.shape) for bottom in (c, gates, cont)]
        _, streams, units = c.shape if c.dim() == 3 else (1, 0, 0)
        if shapes != [(1, streams, units), (1, streams, 4 * units), (1, streams)]:
            self.fail(f"expected bottoms (1, N, H), (1, N, 4 H) and (1, N), got {shapes}")
        c, h = lstm_unit(c, gates, cont.detach().unsqueeze(-1))
        return c, h
