"""BN: PSPNet's batch normalisation with slope and bias."""

import torch

from caffe.batch_normalization import keep_from_solver, normalize, normalize_batch
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("BN")
class BN(Layer):
    """y = slope * (x - mean) / sqrt(var + eps) + bias, of each channel.

    bottom: x (N, C, S...). top: y, the same shape.
    blobs: slope, bias, running mean, running variance, all (1, C, 1, 1). In TRAIN mean and var are
    the batch's, and each forward pass updates the running ones: old * momentum + new *
    (1 - momentum). In TEST, and with `frozen`, the running ones are used. The solver leaves the
    running ones alone, and with `frozen` all blobs.
    Source: PSPNet's BNLayer.
    """

    arithmetic = "any"
    repeatable = False

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.bn_param
        if len(bottom) < 2:
            self.fail(f"expected a bottom (N, C, ...), got {bottom}")
        shape = (1, bottom[1], 1, 1)
        ones = caffe_pb2.FillerParameter(value=1)
        self.add_blob(shape, param.slope_filler if param.HasField("slope_filler") else ones)
        self.add_blob(shape, param.bias_filler)
        self.add_blob(shape)
        self.add_blob(shape, ones if param.frozen else None)
        keep_from_solver(self, 0 if param.frozen else 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.bn_param
        if not x.numel():  # no statistics to take or to move
            return x.clone()
        slope, bias, mean, var = [blob.reshape(-1) for blob in self.weights]
        if self.phase != caffe_pb2.TRAIN or param.frozen:
            return normalize(x, mean, var, slope, bias, param.eps)
        y, mean, var = normalize_batch(x, slope, bias, param.eps)
        if not x.is_meta:
            self._update(mean, var)
        return y

    @torch.no_grad()
    def _update(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        keep = self.layer_param.bn_param.momentum
        for i, new in ((2, mean), (3, var)):
            old = self.weights[i]
            self.blobs[i].store(old * keep + new.reshape(old.shape) * (1 - keep))
