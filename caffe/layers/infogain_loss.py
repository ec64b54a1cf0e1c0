"""InfogainLoss: log probabilities weighed by a matrix of what each confusion costs."""

import math

import torch
from torch.nn.functional import log_softmax

from caffe.axes import around
from caffe.caffemodel import read_blob
from caffe.layer import Layer, Shape
from caffe.loss import at_least, class_indices, ignored, normalizer
from caffe.proto import caffe_pb2
from caffe.registry import register

LEAST = 1e-20


@register("InfogainLoss")
class InfogainLoss(Layer):
    """loss = -1/Z sum_i sum_k H[y_i, k] log max(p_ik, 1e-20), in one of two versions.

    Without `axis`, as both forks have it: bottoms p (N, K...), probabilities, K = their count per
    row, and y (N); top: loss (); Z = N; the gradient is -H / max(p, 1e-20) / Z, also where p was
    raised. With `axis`, as BVLC has it: bottoms x (N..., K, S...), scores, of which p is the
    softmax over that axis, and y (N..., S...) or a shape of the same count; tops: loss (),
    optionally p without a gradient; Z counts the labels that are not `ignore_label` unless
    loss_param says otherwise; the gradient of x is p_k sum_j H[y, j] - H[y, k], over Z.
    bottoms: in both, class numbers 0 to K-1 in y, and optionally a third, H (K, K), with any axes
    of size 1 in front, no gradient. Without it H is read from the binaryproto file `source`.
    Raises CaffeError for loss_param or a second top without `axis`, and for sizes that do not fit.
    Source: Caffe's InfogainLossLayer.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    is_loss = True

    def setup(self, *bottom_shapes: Shape) -> None:
        param = self.layer_param.infogain_loss_param
        self.from_scores = param.HasField("axis")
        if not self.from_scores and self.layer_param.HasField("loss_param"):
            self.fail("loss_param needs infogain_loss_param.axis, which makes scores of the bottom")
        if not self.from_scores and len(self.layer_param.top) == 2:
            self.fail("a second top needs infogain_loss_param.axis: it holds the softmax of scores")
        if len(bottom_shapes) == 2:
            if not param.source:
                self.fail("expected a third bottom or infogain_loss_param.source")
            self.matrix = torch.tensor(read_blob(param.source))

    def _log_probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """log p as (rows, classes, places)."""
        if not self.from_scores:
            return at_least(x.unsqueeze(-1).flatten(1), LEAST).log().unsqueeze(2)
        return log_softmax(around(self, self.layer_param.infogain_loss_param.axis, x), dim=1)

    def forward(
        self, x: torch.Tensor, label: torch.Tensor, matrix: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        log_p = self._log_probabilities(x)
        outer, classes, places = log_p.shape
        gain = self.matrix.to(x) if matrix is None else matrix.detach()
        if label.numel() != outer * places or gain.numel() != classes**2:
            self.fail(
                f"expected {outer * places} labels and a matrix ({classes}, {classes}), got "
                f"{tuple(label.shape)} and {tuple(gain.shape)}"
            )
        param, modes = self.layer_param.loss_param, caffe_pb2.LossParameter
        index, valid = class_indices(self, label.reshape(outer, places), classes, ignored(param))
        rows = gain.reshape(classes, classes)[index].movedim(2, 1)
        cost = -(rows * at_least(log_p, math.log(LEAST))).sum(dim=1)
        default = modes.VALID if self.from_scores else modes.BATCH_SIZE
        loss = torch.where(valid, cost, 0).sum() / normalizer(param, default, outer, valid)
        if len(self.layer_param.top) == 1:
            return (loss,)
        return loss, log_p.detach().exp().reshape(x.shape)
