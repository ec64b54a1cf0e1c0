"""LSTM: long short-term memory over steps in time."""

import torch

from caffe.recurrent import RecurrentLayer, States, lstm_unit
from caffe.registry import register


@register("LSTM")
class LSTM(RecurrentLayer):
    """The hidden states h_1 .. h_T of an LSTM; bottoms, tops and state: see RecurrentLayer.

    gates_t = W_xc x_t + b_c + W_xc_static x_static + W_hc (cont_t h_{t-1}), c_t and h_t from them
    as in LSTMUnit. Exposed states: h, then c.
    blobs: W_xc (4 H, I), b_c (4 H), W_xc_static (4 H, S) if there is x_static, W_hc (4 H, H); rows
    in the order i, f, o, g.
    Source: Caffe's LSTMLayer.
    """

    states = ("h", "c")
    gates = 4

    def step(self, gates: torch.Tensor, states: States, cont: torch.Tensor) -> States:
        c, h = lstm_unit(states[1], gates, cont)
        return h, c
