"""PReLU: rectified linear units with learned slopes."""

import torch
from torch.nn.functional import prelu

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("PReLU")
class PReLU(Layer):
    """y = max(0, x) + a_c * min(0, x), with one slope a_c for each channel c.

    bottom: x (N, C, ...). top: y, the same shape.
    blobs: a (C), or () if `channel_shared`; 0.25 at first unless `filler` is given.
    Source: Caffe's PReLULayer; He et al., arXiv:1502.01852.
    """

    arithmetic = "any"

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.prelu_param
        if len(bottom) < 2:
            self.fail(f"expected a bottom (N, C, ...), got {bottom}")
        filler = param.filler if param.HasField("filler") else caffe_pb2.FillerParameter(value=0.25)
        self.add_blob(() if param.channel_shared else (bottom[1],), filler)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (slope,) = self.weights
        return prelu(x, slope.reshape(-1))
