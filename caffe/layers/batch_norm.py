"""BatchNorm: each channel to mean 0 and variance 1."""

import torch

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register
from caffe.running_average import keep_from_solver


@register("BatchNorm")
class BatchNorm(Layer):
    """y = (x - mean) / sqrt(var + eps), of each channel over the batch and all positions.

    bottom: x (N, C, S...). top: y, the same shape.
    blobs: sums of means (C) and of variances (C), and their weight (1): the statistics are the sums
    divided by it. With `use_global_stats` (the default in TEST) they are used. Otherwise mean and
    var are the batch's, and each forward pass updates the blobs: old * moving_average_fraction +
    new, new weight 1, the variance that of a sample, unless the net says
    `update_global_stats: false`. The solver leaves the blobs alone.
    Raises CaffeError if update_global_stats meets use_global_stats. Source: Caffe's BatchNormLayer.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.batch_norm_param
        test = self.phase == caffe_pb2.TEST
        self.fixed = param.use_global_stats if param.HasField("use_global_stats") else test
        self.updates = param.update_global_stats or not param.HasField("update_global_stats")
        if param.update_global_stats and param.use_global_stats:
            self.fail("update_global_stats needs use_global_stats: false")
        channels = bottom[1] if len(bottom) > 1 else 1
        for shape in ((channels,), (channels,), (1,)):
            self.add_blob(shape)
        keep_from_solver(self, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.numel():  # no statistics to take or to move
            return x.clone()
        if self.fixed:
            mean, var, weight = self.weights
            weight = torch.where(weight == 0, 0, 1 / weight)
            mean, var = mean * weight, var * weight
        else:
            var, mean = torch.var_mean(x, [i for i in range(x.dim()) if i != 1], correction=0)
            if self.updates and not x.is_meta:
                self._update(mean, var, x.numel() / mean.numel())
        shape = [1, -1, *[1] * (x.dim() - 2)][: x.dim()]
        eps = self.layer_param.batch_norm_param.eps
        return (x - mean.reshape(shape)) / (var.reshape(shape) + eps).sqrt()

    @torch.no_grad()
    def _update(self, mean: torch.Tensor, var: torch.Tensor, count: float) -> None:
        keep = self.layer_param.batch_norm_param.moving_average_fraction
        sample = count / (count - 1) if count > 1 else 1
        news: tuple[torch.Tensor | int, ...] = (mean.reshape(-1), var.reshape(-1) * sample, 1)
        for blob, old, new in zip(self.blobs, self.weights, news, strict=True):
            blob.store(old * keep + new)
