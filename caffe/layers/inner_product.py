"""InnerProduct: a fully connected layer."""

import math

import torch
from torch.nn.functional import linear

from caffe.axes import canonical_axis
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("InnerProduct")
class InnerProduct(Layer):
    """y = x W^T + b, over all axes from `axis` on.

    bottom: x (N..., D...), split at `axis` into rows of K = prod(D) numbers.
    top: y (N..., num_output).
    blobs: W (num_output, K), or (K, num_output) if `transpose`; b (num_output) if `bias_term`.
    Source: Caffe's InnerProductLayer.
    """

    arithmetic = "low"

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.inner_product_param
        if not param.num_output:
            self.fail("inner_product_param.num_output must be given")
        self.axis = canonical_axis(self, param.axis, len(bottom))
        shape = (param.num_output, math.prod(bottom[self.axis :]))
        self.add_blob(shape[::-1] if param.transpose else shape, param.weight_filler)
        if param.bias_term:
            self.add_blob((param.num_output,), param.bias_filler)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, *bias = self.weights
        if self.layer_param.inner_product_param.transpose:
            weight = weight.t()
        if math.prod(x.shape[self.axis :]) != weight.shape[1]:
            self.fail(f"expected rows of {weight.shape[1]} numbers, got {tuple(x.shape)}")
        return linear(x.flatten(self.axis), weight, *(b.flatten() for b in bias))
