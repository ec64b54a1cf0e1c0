"""ArgMax: where the largest numbers are."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer
from caffe.registry import register


@register("ArgMax")
class ArgMax(Layer):
    """The places (from 0) of the `top_k` largest numbers, the largest first. No gradient.

    bottom: x (N, ...).
    top, with `axis`: x's shape with `top_k` in place of that axis: the places along it, or, if
    `out_max_val`, the numbers themselves. Without `axis`: (N, 1, top_k), places in the flattened
    row, or (N, 2, top_k) with the numbers behind the places if `out_max_val`; with axes of size 1
    behind if x has more than three. Of equal numbers the later one comes first.
    Source: Caffe's ArgMaxLayer, in the version that both forks have.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.argmax_param
        flat = not param.HasField("axis")
        rows = x.detach().flatten(1) if flat else x.detach()
        axis = 1 if flat else canonical_axis(self, param.axis, x.dim())
        size = rows.shape[axis]
        if not 1 <= param.top_k <= size:
            self.fail(f"expected top_k from 1 to {size} for {tuple(x.shape)}, got {param.top_k}")
        # A stable sort from the far end puts the later of equal numbers first.
        values, order = rows.flip(axis).sort(dim=axis, descending=True, stable=True)
        values = values.narrow(axis, 0, param.top_k)
        places = (size - 1 - order.narrow(axis, 0, param.top_k)).to(x.dtype)
        if not flat:
            return values if param.out_max_val else places
        out = torch.stack([places, values], dim=1) if param.out_max_val else places.unsqueeze(1)
        return out.reshape(*out.shape, *(1,) * (x.dim() - 3))
