"""Silence: a reader for blobs that nobody needs."""

import torch

from caffe.layer import Layer
from caffe.registry import register


@register("Silence")
class Silence(Layer):
    """Takes blobs, so that they are no outputs of the net; their gradient from here is zero.

    bottoms: one or more, any shapes. tops: none. Source: Caffe's SilenceLayer.
    """

    bottoms = (1, None)
    tops = 0
    arithmetic = "any"

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return ()
