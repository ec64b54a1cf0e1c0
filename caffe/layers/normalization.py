"""Normalization: each item to length 1."""

import torch
from torch.linalg import vector_norm

from caffe.layer import Layer
from caffe.registry import register


@register("Normalization")
class Normalization(Layer):
    """y_n = x_n / ||x_n||_2, over all numbers of item n.

    bottom: x (N, ...). top: y, the same shape, of length 1; an item of zeros stays zero and gets no
    gradient. Source: the NormalizationLayer of the authors' tree.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.unsqueeze(-1).flatten(1)  # also where an item is a single number
        length = vector_norm(rows, dim=1, keepdim=True)
        some = length > 0
        return (rows * torch.where(some, 1 / torch.where(some, length, 1), 0)).reshape(x.shape)
