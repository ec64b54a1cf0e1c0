"""Which layers a net computes a second time in the backward pass instead of keeping their tops.

`net.recompute = True` makes training passes keep what leaves each stretch of layers and compute the
rest again when its gradient is due: a third more work, a fraction of the memory. What is not kept
reads as zeros in `net.blobs` until the next plain `forward`.
Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

import math
from collections.abc import Sequence

from caffe.layer import Layer

_ENDS = ("Pooling", "ROIPooling", "ROISpatialPyramidPooling")  # behind them maps are small


def stretches(layers: Sequence[Layer]) -> list[range]:
    """All layers' indices in order, in stretches; one of a single layer is computed once.

    A stretch ends with a pooling layer, or once it is as long as the root of the number of layers:
    VGG16's stages. Layers behind the last pooling and those that may not be repeated stand alone.
    """
    longest = max(2, math.isqrt(len(layers)))
    last = max((i for i, layer in enumerate(layers) if layer.type in _ENDS), default=-1)
    found: list[range] = []
    start = 0
    for i, layer in enumerate(layers):
        alone = i > last or not (layer.repeatable and layer.layer_param.bottom)
        if alone and start < i:
            found.append(range(start, i))
            start = i
        if alone or layer.type in _ENDS or i + 1 - start == longest:
            found.append(range(start, i + 1))
            start = i + 1
    return found
