"""ROISpatialPyramidPooling: several grids of bins per region of interest, joined."""

import torch

from caffe.layer import Layer, Shape
from caffe.ops.roi_pooling import check_maps, roi_pyramid_pooling
from caffe.ops.rois import check_shape
from caffe.registry import register


@register("ROISpatialPyramidPooling")
class ROISpatialPyramidPooling(Layer):
    """Row r: for each b in bins, the b x b maxima of box r, times score_scale * score + score_bias.

    bottoms: maps (N, C, H, W); rois (R, 6) or (R, 5), as for ROIPooling.
    top: (R, C * sum of bins^2), level after level, each in C, h, w order; a single level `bins: 7`
    is ROIPooling with 7 x 7 bins, flattened.
    No gradient to rois. Raises CaffeError naming the row of an impossible box.
    Source: the region pyramid pooling of the MLIC slides; bins as in ROIPooling.
    """

    bottoms = 2

    def setup(self, maps: Shape, rois: Shape) -> None:
        param = self.layer_param.roi_spatial_pyramid_pooling_param
        if not param.bins or min(param.bins) < 1 or param.spatial_scale <= 0:
            self.fail(
                "roi_spatial_pyramid_pooling_param: expected at least one bins, each >= 1, and "
                "spatial_scale > 0"
            )
        self.grids = [(bins, bins) for bins in param.bins]

    def top_shapes(self, maps: Shape, rois: Shape) -> list[Shape]:
        check_maps(maps)
        check_shape(rois)
        return [(rois[0], maps[1] * sum(h * w for h, w in self.grids))]

    def forward(self, maps: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.roi_spatial_pyramid_pooling_param
        factor = (param.score_scale, param.score_bias)
        return roi_pyramid_pooling(maps, rois, self.grids, param.spatial_scale, *factor)
