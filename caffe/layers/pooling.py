"""Pooling: the maximum, the average or a random draw of each window of a map."""

import torch

from caffe import pooling
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register
from caffe.windows import window_field


@register("Pooling")
class Pooling(Layer):
    """y = max, average or a drawn number of each window (see caffe/pooling.py for the edges).

    bottom: x (N, C, H, W); not negative for STOCHASTIC, which takes no pad.
    tops: y (N, C, H', W'), H' = ceil((H + 2 pad - kernel) / stride) + 1, by `round_mode`; MAX may
    have a second top, the place h * W + w of each maximum.
    `global_pooling` takes the whole map, whatever its size; kernel, stride and pad stay out.
    Raises CaffeError for another number of axes and for a pad not smaller than the kernel.
    Source: BVLC Caffe's PoolingLayer; STOCHASTIC as on its GPU.
    """

    tops = (1, 2)
    arithmetic = "any"

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.pooling_param
        if len(bottom) != 4:
            self.fail(f"expected a bottom (N, C, H, W), got {bottom}")
        if len(self.layer_param.top) == 2 and param.pool != caffe_pb2.PoolingParameter.MAX:
            self.fail("expected 1 top, or 2 with pool: MAX, got 2")
        stride = window_field(self, param, "stride", 2, 1)
        pad = window_field(self, param, "pad", 2, 0)
        floor = param.round_mode == caffe_pb2.PoolingParameter.FLOOR
        if param.global_pooling:
            if any(param.HasField(f"kernel_{end}") for end in ("size", "h", "w")):
                self.fail("global_pooling takes the bottom's size; leave the kernel out")
            if stride != (1, 1) or any(pad):
                self.fail(f"global_pooling needs stride 1 and pad 0, got {stride} and {pad}")
            return
        kernel = window_field(self, param, "kernel_size", 2, None)
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            self.fail(f"expected pad smaller than the kernel {kernel}, got {pad}")
        if param.pool == caffe_pb2.PoolingParameter.STOCHASTIC and any(pad):
            self.fail(f"STOCHASTIC pooling needs pad 0, got {pad}")
        self.window = pooling.Window(kernel, stride, pad, floor)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        param = self.layer_param.pooling_param
        whole = pooling.Window(tuple(x.shape[2:]), (1, 1), (0, 0))
        window = whole if param.global_pooling else self.window
        if min(window.output(x)) < 1:
            self.fail(f"expected maps of at least {window.kernel}, got a bottom {tuple(x.shape)}")
        if len(self.layer_param.top) == 2:
            return pooling.max_pool_with_mask(x, window)
        return pooling.pool(x, window, param.pool, sample=self.phase == caffe_pb2.TRAIN)
