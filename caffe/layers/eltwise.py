"""Eltwise: several blobs of one shape to one, number by number."""

from functools import reduce
from operator import mul

import torch

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("Eltwise")
class Eltwise(Layer):
    """y = prod_i x_i (PROD), sum_i coeff_i x_i (SUM) or max_i x_i (MAX).

    bottoms: two or more of one shape. top: y, that shape.
    At equal maxima the gradient goes to one bottom alone, as in Caffe: the second of the first two,
    the earlier one after that. The gradient of PROD is the product of the other bottoms, also where
    `stable_prod_grad: false` would divide by a zero.
    Raises CaffeError if shapes differ, `coeff` does not fit or comes with PROD (with MAX it has no
    effect). Source: Caffe's EltwiseLayer.
    """

    bottoms = (2, None)
    arithmetic = "any"

    def setup(self, *bottoms: Shape) -> None:
        param = self.layer_param.eltwise_param
        if len(set(bottoms)) != 1:
            self.fail(f"expected bottoms of one shape, got {', '.join(map(str, bottoms))}")
        if len(param.coeff) not in (0, len(bottoms)):
            self.fail(f"expected 0 or {len(bottoms)} coeff, got {len(param.coeff)}")
        if param.coeff and param.operation == caffe_pb2.EltwiseParameter.PROD:
            self.fail("coeff needs operation: SUM, got PROD")

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.eltwise_param
        if param.operation == caffe_pb2.EltwiseParameter.PROD:
            return reduce(mul, bottoms)
        if param.operation == caffe_pb2.EltwiseParameter.MAX:
            first, second, *rest = bottoms
            top = torch.where(first > second, first, second)
            return reduce(lambda top, x: torch.where(x > top, x, top), rest, top)
        if param.coeff:
            bottoms = tuple(c * x for c, x in zip(param.coeff, bottoms, strict=True))
        return sum(bottoms[1:], start=bottoms[0])
