"""WsdRoigenSingleScale: the data layer's boxes as RoIs of a smaller image."""

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register
from caffe.rois import rois_of


@register("WsdRoigenSingleScale")
class WsdRoigenSingleScale(Layer):
    """rois[n B + b] = (n, x1 s, y1 s, x2 s, y2 s, score), s = single_scale / origin_scale.

    bottom: boxes (N, 5 B), per box x1 y1 x2 y2 score, corners in pixels of an image of size
    `origin_scale`. top: rois (N B, 6), corners in pixels of one of size `single_scale`, cut off to
    whole numbers. Both sizes are fields of roi_pooling_param. No gradient.
    Source: the authors' WsdRoigenSingleScaleLayer.
    """

    def setup(self, _: Shape) -> None:
        if not self.layer_param.roi_pooling_param.origin_scale:
            self.fail("expected roi_pooling_param.origin_scale of at least 1, got 0")

    def forward(self, boxes: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.roi_pooling_param
        image, corners, score = rois_of(self, boxes).split([1, 4, 1], dim=1)
        scaled = (corners * param.single_scale / param.origin_scale).trunc()
        return torch.cat([image, scaled, score], dim=1)
