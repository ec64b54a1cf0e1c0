"""BatchNorm: each channel to mean 0 and variance 1."""

import torch

from caffe.batch_normalization import keep_from_solver, normalize, normalize_batch
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


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

    arithmetic = "any"
    repeatable = False

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.batch_norm_param
        self.updates = param.update_global_stats or not param.HasField("update_global_stats")
        if param.update_global_stats and param.use_global_stats:
            self.fail("update_global_stats needs use_global_stats: false")
        channels = bottom[1] if len(bottom) > 1 else 1
        for shape in ((channels,), (channels,), (1,)):
            self.add_blob(shape)
        keep_from_solver(self, 0)

    @property
    def fixed(self) -> bool:
        """Whether the blobs' statistics are used, and not the batch's."""
        param = self.layer_param.batch_norm_param
        if param.HasField("use_global_stats"):
            return param.use_global_stats
        return self.phase == caffe_pb2.TEST

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.numel():  # no statistics to take or to move
            return x.clone()
        rows = x if x.dim() > 1 else x.unsqueeze(1)
        eps = self.layer_param.batch_norm_param.eps
        if self.fixed:
            mean, var, weight = self.weights
            weight = torch.where(weight == 0, 0, 1 / weight)
            return normalize(rows, mean * weight, var * weight, None, None, eps).reshape(x.shape)
        y, mean, var = normalize_batch(rows, None, None, eps)
        if self.updates and not x.is_meta:
            self._update(mean, var, x.numel() / mean.numel())
        return y.reshape(x.shape)

    @torch.no_grad()
    def _update(self, mean: torch.Tensor, var: torch.Tensor, count: float) -> None:
        keep = self.layer_param.batch_norm_param.moving_average_fraction
        sample = count / (count - 1) if count > 1 else 1
        news: tuple[torch.Tensor | int, ...] = (mean, var * sample, 1)
        for blob, old, new in zip(self.blobs, self.weights, news, strict=True):
            blob.store(old * keep + new)
