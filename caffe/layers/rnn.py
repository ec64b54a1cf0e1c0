"""RNN: a plain recurrent network over steps in time."""

import torch
from torch.nn.functional import linear

from caffe.layer import Shape
from caffe.recurrent import RecurrentLayer, States
from caffe.registry import register


@register("RNN")
class RNN(RecurrentLayer):
    """The outputs o_1 .. o_T of an RNN; bottoms, tops and state: see RecurrentLayer.

    h_t = tanh(W_xh x_t + b_h + W_xh_static x_static + W_hh (cont_t h_{t-1})),
    o_t = tanh(W_ho h_t + b_o). Exposed state: h.
    blobs: W_xh (H, I), b_h (H), W_xh_static (H, S) if there is x_static, W_hh (H, H), W_ho (H, H),
    b_o (H).
    Source: Caffe's RNNLayer.
    """

    states = ("h",)

    def setup(self, *bottom_shapes: Shape) -> None:
        super().setup(*bottom_shapes)
        param = self.layer_param.recurrent_param
        self.add_blob((param.num_output, param.num_output), param.weight_filler)
        self.add_blob((param.num_output,), param.bias_filler)

    def step(self, gates: torch.Tensor, states: States, cont: torch.Tensor) -> States:
        return (gates.tanh(),)

    def output(self, hidden: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        weight, bias = weights
        return linear(hidden, weight, bias).tanh()
