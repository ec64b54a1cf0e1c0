"""Filter: only the rows that a selector marks."""

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Filter")
class Filter(Layer):
    """y_i = the rows n of x_i where selector[n] is not 0, in order; possibly none.

    bottoms: x_1 .. x_k (N, ...), then the selector (N), or with axes of size 1 behind; it gets no
    gradient. tops: y_1 .. y_k (M, ...), M rows; until the first forward pass M = N.
    Source: Caffe's FilterLayer.
    """

    bottoms = (2, None)
    tops = (1, None)
    arithmetic = "any"

    def top_shapes(self, *bottom_shapes: Shape) -> list[Shape]:
        *shapes, selector = bottom_shapes
        rows = {shape[:1] for shape in bottom_shapes}
        if len(rows) != 1 or any(size != 1 for size in selector[1:]):
            self.fail(f"expected bottoms (N, ...) and a selector (N), got {list(bottom_shapes)}")
        if len(shapes) != len(self.layer_param.top):
            self.fail(f"expected {len(shapes)} tops, one for each bottom but the selector")
        return shapes

    def forward(self, *bottoms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        *blobs, selector = bottoms
        self.top_shapes(*(tuple(map(int, bottom.shape)) for bottom in bottoms))  # int: if traced
        chosen = selector.reshape(-1).nonzero().squeeze(1)
        return tuple(blob.index_select(0, chosen) for blob in blobs)
