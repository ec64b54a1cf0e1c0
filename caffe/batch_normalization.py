"""What BN and BatchNorm share: the fused normalisation, and blobs that a layer updates itself."""

import torch

from caffe.layer import Layer


def normalize(
    x: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    slope: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> torch.Tensor:
    """slope * (x - mean) / sqrt(var + eps) + bias of x (N, C, ...) with vectors (C)."""
    return torch.batch_norm(x, slope, bias, mean, var, False, 0.0, eps, True)


def normalize_batch(
    x: torch.Tensor, slope: torch.Tensor | None, bias: torch.Tensor | None, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`normalize` with the batch's own statistics: (y, mean (C), variance (C) over all numbers)."""
    channels = x.shape[1]
    mean, sample_var = x.detach().new_zeros(2, channels)
    count = x.numel() // channels
    if count == 1:  # y is the bias whatever x is, and there is no sample variance to compute
        alone = x.detach().reshape(-1)
        y = normalize(x.detach(), alone, torch.ones_like(alone), slope, bias, eps)
        return y, alone, torch.zeros_like(alone)
    # On CPUs PyTorch adds up channels-last maps number by number in float32: over 32 maps of
    # 200 x 200 the variance was 7e-4 off, 1e-7 so.
    copied = x.device.type == "cpu" and _is_channels_last(x)
    plain = x.contiguous() if copied else x
    y = torch.batch_norm(plain, slope, bias, mean, sample_var, True, 1.0, eps, True)
    if copied:
        y = y.contiguous(memory_format=torch.channels_last)
    return y, mean, sample_var * (count - 1) / count


def _is_channels_last(x: torch.Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def keep_from_solver(layer: Layer, first: int) -> None:
    """Let no gradient reach the layer's blobs from `first` on, and no solver update them."""
    specs = layer.layer_param.param
    while len(specs) < len(layer.blobs):
        specs.add()
    for blob, spec in zip(layer.blobs[first:], specs[first:], strict=True):
        blob.learned = False
        spec.lr_mult = spec.decay_mult = 0
