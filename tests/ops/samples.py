"""Inputs that every form of an operator is tested on: native, kernels, plain torch, numpy."""

import numpy as np
import torch

# images, channels, height, width, boxes, bins_h, bins_w, spatial_scale; pairwise unequal in each
SHAPES = [
    (2, 3, 12, 10, 5, 4, 1, 1 / 16),
    (1, 5, 7, 9, 6, 2, 3, 1 / 8),
    (3, 70, 6, 11, 4, 7, 5, 1 / 16),  # more channels than are pooled together
    (2, 64, 5, 8, 9, 3, 7, 0.3),  # exactly as many
    (4, 1, 13, 2, 11, 6, 9, 1.0),
    (3, 2, 4, 5, 0, 6, 7, 1 / 4),  # no box at all
    (2, 1, 5, 4, 6, 8, 9, 0.4),  # more bins than one block of a kernel pools
    (1, 2, 3, 4, 300, 5, 6, 0.5),  # more boxes than one lists at a time
    (2, 261, 1, 3, 7, 4, 5, 0.2),  # more channels than one gathers
]


def random_rois(rng, images, boxes, width, height):
    """(boxes, 6): anywhere around an image of this size, some outside, inverted or of one pixel."""
    rois = np.zeros((boxes, 6), np.float32)
    rois[:, 0] = rng.integers(0, images, boxes)
    rois[:, 1:3] = rng.uniform(-0.3, 1.1, (boxes, 2)) * (width, height)
    rois[:, 3:5] = rois[:, 1:3] + rng.uniform(-0.1, 0.9, (boxes, 2)) * (width, height)
    rois[::3, 3:5] = rois[::3, 1:3]
    rois[1::4, 1:5] = np.round(rois[1::4, 1:5] * 2) / 2  # halves, where roundings differ
    rois[:, 5] = rng.uniform(-1, 1, boxes)
    return rois


def roi_case(shape, seed=0):
    """maps (N, C, H, W) with ties, rois (R, 6), the grid and the spatial scale of SHAPES' entry."""
    images, channels, height, width, boxes, bins_h, bins_w, scale = shape
    rng = np.random.default_rng(seed)
    maps = rng.integers(-4, 5, (images, channels, height, width)).astype(np.float32)
    rois = random_rois(rng, images, boxes, width / scale, height / scale)
    return torch.tensor(maps), torch.tensor(rois), (bins_h, bins_w), scale


def values_and_gradients(function, *tensors):
    """function(*tensors) and its gradients, under a fixed weighting of its result."""
    leaves = [tensor.detach().clone().requires_grad_(True) for tensor in tensors]
    result = function(*leaves)
    weight = torch.linspace(-1, 2, result.numel(), dtype=torch.float64)
    grads = torch.autograd.grad(result, leaves, weight.reshape(result.shape).to(result))
    return [result.detach(), *grads]


def same_bits(these, those):
    """Whether both lists of tensors hold the same numbers, wherever they lie."""
    return all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(these, those, strict=True))
