"""MVN: mean-variance normalisation of each map or image."""

import math

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("MVN")
class MVN(Layer):
    """y = (x - mean) / (std + eps), without the division unless `normalize_variance`.

    Mean and std (of all numbers, not of a sample) are those of each map, or of each image if
    `across_channels`.
    bottom: x (N, C, S...). top: y, the same shape.
    Source: Caffe's MVNLayer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.mvn_param
        kept = x.shape[: 1 if param.across_channels else 2]
        rows = x.reshape(*kept, math.prod(x.shape[len(kept) :]))
        rows = rows - rows.mean(-1, keepdim=True)
        if param.normalize_variance:
            # Unlike sqrt, the norm has a gradient (zero) for a constant map.
            std = torch.linalg.vector_norm(rows, dim=-1, keepdim=True) / rows.shape[-1] ** 0.5
            rows = rows / (std + param.eps)
        return rows.reshape(x.shape)
