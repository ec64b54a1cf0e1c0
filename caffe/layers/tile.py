"""Tile: a blob repeated along an axis."""

import torch

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Tile")
class Tile(Layer):
    """x `tiles` times, one behind the other along `axis`.

    bottom: x, any shape. top: y, x's shape with tiles times as many on that axis.
    Source: Caffe's TileLayer.
    """

    arithmetic = "any"

    def setup(self, bottom: Shape) -> None:
        if self.layer_param.tile_param.tiles < 1:
            self.fail("tile_param.tiles must be given, at least 1")
        canonical_axis(self, self.layer_param.tile_param.axis, len(bottom))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.tile_param
        repeats = [1] * x.dim()
        repeats[param.axis] = param.tiles
        return x.repeat(repeats)
