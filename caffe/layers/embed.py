"""Embed: a learned row for each index."""

import torch
from torch.nn.functional import embedding

from caffe.indices import checked_indices
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Embed")
class Embed(Layer):
    """y = W[x] + b.

    bottom: x, any shape, whole numbers in [0, input_dim). top: y (x's shape, num_output).
    blobs: W (input_dim, num_output); b (num_output) if `bias_term`. The bottom has no gradient.
    Raises CaffeError for an index outside. Source: Caffe's EmbedLayer.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.embed_param
        if not (param.num_output and param.input_dim):
            self.fail("embed_param.num_output and input_dim must be given")
        self.add_blob((param.input_dim, param.num_output), param.weight_filler)
        if param.bias_term:
            self.add_blob((param.num_output,), param.bias_filler)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, *bias = self.weights
        index = checked_indices(self, x.detach().long(), len(weight), "index")
        rows = embedding(index, weight)
        return rows + bias[0] if bias else rows
