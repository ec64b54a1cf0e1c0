"""ROIPooling: the maximum of each bin of each region of interest."""

import torch

from caffe.layer import Layer, Shape
from caffe.ops.roi_pooling import check_maps, roi_pooling
from caffe.ops.rois import check_shape
from caffe.registry import register


@register("ROIPooling")
class ROIPooling(Layer):
    """y[r, c, h, w] = (score_scale * score_r + score_bias) * max over bin (h, w) of box r.

    bottoms: maps (N, C, H, W); rois (R, 6): image index, x1, y1, x2, y2 (input pixels, inclusive
    corners), score; or (R, 5) without score, then the factor is 1.
    top: (R, C, pooled_h, pooled_w). Rounding, empty bins, ties and NaN: caffe.ops.roi_pooling.
    No gradient to rois. Raises CaffeError naming the row of an impossible box.
    Source: Fast R-CNN's ROIPooling with the score of the MLIC authors' tree.
    """

    bottoms = 2

    def setup(self, maps: Shape, rois: Shape) -> None:
        param = self.layer_param.roi_pooling_param
        if not (param.pooled_h and param.pooled_w and param.spatial_scale > 0):
            self.fail("roi_pooling_param: expected pooled_h, pooled_w >= 1, spatial_scale > 0")

    def top_shapes(self, maps: Shape, rois: Shape) -> list[Shape]:
        check_maps(maps)
        check_shape(rois)
        param = self.layer_param.roi_pooling_param
        return [(rois[0], maps[1], param.pooled_h, param.pooled_w)]

    def forward(self, maps: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.roi_pooling_param
        grid = (param.pooled_h, param.pooled_w)
        factor = (param.score_scale, param.score_bias)
        return roi_pooling(maps, rois, *grid, param.spatial_scale, *factor)
