"""Numbers that choose one of several: class labels, rows."""

import torch

from caffe.layer import Layer


def checked_indices(
    layer: Layer, index: torch.Tensor, count: int, name: str, hint: str = ""
) -> torch.Tensor:
    """`index` (int64, any shape) if all of it is in 0 to count - 1.

    Otherwise fails in `layer`'s name; `name` says what the numbers are. Meta tensors pass.
    """
    if not index.is_meta:
        wrong = index[(index < 0) | (index >= count)]
        if wrong.numel():
            layer.fail(f"{name} {int(wrong[0])}: expected 0 to {count - 1}{hint}")
    return index
