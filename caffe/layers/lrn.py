"""LRN: local response normalisation."""

import torch
from torch.nn.functional import avg_pool2d, local_response_norm

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("LRN")
class LRN(Layer):
    """y = x / (k + alpha * mean of x^2 over n neighbours) ^ beta, n = `local_size`, zeros outside.

    The neighbours are n channels (ACROSS_CHANNELS) or n x n pixels (WITHIN_CHANNEL, where Caffe
    takes k = 1 whatever the net says, and so does this).
    bottom: x (N, C, H, W). top: y, the same shape.
    Raises CaffeError for an even local_size. Source: Caffe's LRNLayer, Krizhevsky et al. 2012.
    """

    def setup(self, bottom: Shape) -> None:
        if len(bottom) != 4:
            self.fail(f"expected a bottom (N, C, H, W), got {bottom}")
        if self.layer_param.lrn_param.local_size % 2 == 0:
            self.fail(f"expected an odd local_size, got {self.layer_param.lrn_param.local_size}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.lrn_param
        size = param.local_size
        if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
            return local_response_norm(x, size, param.alpha, param.beta, param.k)
        mean = avg_pool2d(x.square(), size, stride=1, padding=size // 2)
        return x * (1 + param.alpha * mean).pow(-param.beta)
