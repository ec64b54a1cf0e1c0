"""BatchReindex: rows in another order."""

import torch

from caffe.indices import checked_indices
from caffe.layer import Layer
from caffe.registry import register


@register("BatchReindex")
class BatchReindex(Layer):
    """y_m = x[index_m]: rows chosen, repeated or left out.

    bottoms: x (N, ...); index (M), row numbers 0 to N-1, no gradient. top: y (M, ...). A row's
    gradient is the sum over its copies.
    Source: Caffe's BatchReindexLayer.
    """

    bottoms = 2
    arithmetic = "any"

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        if index.dim() != 1:
            self.fail(f"expected an index (M), got {tuple(index.shape)}")
        rows = checked_indices(self, index.detach().long(), x.shape[0], "row")
        return x.index_select(0, rows)
