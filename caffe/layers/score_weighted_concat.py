"""ScoreWeightedConcat: the features of each region, weighted with its score and joined."""

import math

import torch

from caffe.layer import Layer, Shape
from caffe.ops.rois import check_shape
from caffe.ops.score_weighted_concat import check_features, score_weighted_concat
from caffe.registry import register


@register("ScoreWeightedConcat")
class ScoreWeightedConcat(Layer):
    """y[r] = s'_r * [features_1[r], ..., features_m[r]], each flattened.

    bottoms: features_1 .. features_m, each (R, ...); rois (R, 6), of which the score s' is read.
    top: (R, D), D the sum of the features' numbers per box. No gradient to rois.
    Raises CaffeError naming the row of an impossible box. Source: F_R' of stage 1 (MLIC slides).
    """

    bottoms = (2, None)

    def top_shapes(self, *shapes: Shape) -> list[Shape]:
        *features, rois = shapes
        check_shape(rois, columns=(6,))
        check_features(features, rois[0])
        return [(rois[0], sum(math.prod(feature[1:]) for feature in features))]

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        *features, rois = bottoms
        return score_weighted_concat(features, rois)
