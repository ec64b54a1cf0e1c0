"""InfogainLoss: log probabilities weighed by a matrix of what each confusion costs."""

import torch

from caffe.caffemodel import read_blob
from caffe.layer import Layer, Shape
from caffe.loss import at_least, class_indices
from caffe.registry import register


@register("InfogainLoss")
class InfogainLoss(Layer):
    """loss = -1/N sum_n sum_k H[y_n, k] log max(p_nk, 1e-20).

    bottoms: p (N, K...), probabilities, K = their count per row; y (N), class numbers 0 to K-1;
    optionally H (K, K), with any axes of size 1 in front, no gradient. Without that third bottom H
    is read from the binaryproto file `source`. top: loss ().
    The gradient is -H / max(p, 1e-20) / N, also where p was raised.
    Source: Caffe's InfogainLossLayer as both forks have it; BVLC's later one takes logits instead
    and has `axis`, so a net that sets `axis` is refused.
    """

    bottoms = (2, 3)
    is_loss = True

    def setup(self, *bottom_shapes: Shape) -> None:
        param = self.layer_param.infogain_loss_param
        if param.HasField("axis"):
            self.fail("infogain_loss_param.axis: not supported; put a Softmax layer in front")
        if len(bottom_shapes) == 2:
            if not param.source:
                self.fail("expected a third bottom or infogain_loss_param.source")
            self.matrix = torch.tensor(read_blob(param.source))

    def forward(
        self, p: torch.Tensor, label: torch.Tensor, matrix: torch.Tensor | None = None
    ) -> torch.Tensor:
        rows = p.flatten(1)
        classes = rows.shape[1]
        gain = self.matrix.to(p) if matrix is None else matrix.detach()
        if label.numel() != p.shape[0] or gain.numel() != classes**2:
            self.fail(
                f"expected {p.shape[0]} labels and a matrix ({classes}, {classes}), got "
                f"{tuple(label.shape)} and {tuple(gain.shape)}"
            )
        index, _ = class_indices(self, label.reshape(-1), classes)
        cost = -gain.reshape(classes, classes)[index] * at_least(rows, 1e-20).log()
        return cost.sum() / p.shape[0]
