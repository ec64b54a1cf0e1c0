"""SPP: spatial pyramid pooling of whole maps to a vector of fixed length."""

import math

import torch

from caffe import pooling
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("SPP")
class SPP(Layer):
    """Level i = 0 .. pyramid_height - 1 pools the map to 2^i x 2^i bins; all are flattened, joined.

    The windows of level i are ceil(H / 2^i) x ceil(W / 2^i), side by side, with what is missing to
    fill them as padding, the larger half in front.
    bottom: x (N, C, H, W); not negative for STOCHASTIC. top: y (N, C * sum_i 4^i), or (N, C, 1, 1)
    for a single level.
    Raises CaffeError if a level needs padding as large as its windows, or any for STOCHASTIC.
    Source: Caffe's SPPLayer, He et al. 2014.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.spp_param
        if len(bottom) != 4:
            self.fail(f"expected a bottom (N, C, H, W), got {bottom}")
        if param.pyramid_height < 1:
            self.fail("spp_param.pyramid_height must be given, at least 1")

    def window(self, bins: int, size: Shape) -> pooling.Window:
        """What pools maps of `size` to bins x bins."""
        kernel = tuple(math.ceil(n / bins) for n in size)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size, strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            self.fail(f"maps of {tuple(size)} are too small for {bins} x {bins} bins")
        stochastic = self.layer_param.spp_param.pool == caffe_pb2.SPPParameter.STOCHASTIC
        if stochastic and any(pad):
            self.fail(
                f"STOCHASTIC pooling takes no padding: expected maps of multiples of {bins} for "
                f"{bins} x {bins} bins, got {tuple(size)}"
            )
        return pooling.Window(kernel, kernel, pad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.spp_param
        draw = self.phase == caffe_pb2.TRAIN
        windows = [self.window(2**i, tuple(x.shape[2:])) for i in range(param.pyramid_height)]
        levels = [pooling.pool(x, window, param.pool, draw) for window in windows]
        return levels[0] if len(levels) == 1 else torch.cat([y.flatten(1) for y in levels], 1)
