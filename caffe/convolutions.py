"""Convolutions over any number of axes, for those that PyTorch's operators do not cover.

Both take their arguments as torch's conv1d and conv_transpose1d do.
"""

from functools import partial

import torch

from caffe.windows import windows

Sizes = tuple[int, ...]


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sizes,
    pad: Sizes,
    dilation: Sizes,
    group: int,
) -> torch.Tensor:
    """x (N, C, S...) with weight (O, C / group, K...) gives (N, O, S'...)."""
    spatial = weight.dim() - 2
    cells = windows(x, tuple(weight.shape[2:]), stride, pad, dilation).unsqueeze(-1)
    cells = cells.flatten(2 + spatial).unflatten(1, (group, -1))  # (N, G, C / G, S'..., K)
    filters = weight.unsqueeze(-1).flatten(2).unflatten(0, (group, -1))  # (G, O / G, C / G, K)
    y = torch.einsum("ngc...k,gock->ngo...", cells, filters).flatten(1, 2)
    return y if bias is None else y + bias.reshape(-1, *[1] * spatial)


def deconvolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sizes,
    pad: Sizes,
    output_padding: int,
    group: int,
    dilation: Sizes,
) -> torch.Tensor:
    """x (N, C, S...) with weight (C, O / group, K...) gives (N, O, S'...), by convolve's transpose.

    `output_padding` must be 0.
    """
    assert not output_padding, "Caffe's deconvolution has none"
    spans = zip(x.shape[2:], weight.shape[2:], stride, pad, dilation, strict=True)
    sizes = [step * (n - 1) + spread * (k - 1) + 1 - 2 * p for n, k, step, p, spread in spans]
    blank = x.new_zeros(len(x), weight.shape[1] * group, *sizes)
    forward = partial(
        convolve, weight=weight, bias=None, stride=stride, pad=pad, dilation=dilation, group=group
    )
    (y,) = torch.func.vjp(forward, blank)[1](x)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(sizes))
