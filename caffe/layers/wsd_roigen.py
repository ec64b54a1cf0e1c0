"""WsdRoigen: the data layer's boxes as RoIs."""

import torch

from caffe.layer import Layer
from caffe.registry import register
from caffe.rois import rois_of


@register("WsdRoigen")
class WsdRoigen(Layer):
    """rois[n B + b] = (n, x1, y1, x2, y2, score) of box b of image n. No gradient.

    bottom: boxes (N, 5 B), per box x1 y1 x2 y2 score, corners in input pixels, inclusive.
    top: rois (N B, 6).
    Source: the authors' WsdRoigenLayer.
    """

    def forward(self, boxes: torch.Tensor) -> torch.Tensor:
        return rois_of(self, boxes)
