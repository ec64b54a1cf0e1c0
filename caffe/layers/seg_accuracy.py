"""SegAccuracy: how well a segmentation agrees with a label map."""

import torch

from caffe.indices import checked_indices
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("SegAccuracy")
class SegAccuracy(Layer):
    """Pixel accuracy, class accuracy and intersection over union, from the confusion matrix M.

    M[t, p] counts the pixels of label t whose highest score is class p (of equal scores the higher
    class). PixelAccuracy = sum_c M[c, c] / sum M; ClassAccuracy = mean over the classes that occur
    as labels of M[c, c] / sum_p M[c, p]; PixelIOU = mean over all classes of M[c, c] / (row c +
    column c - M[c, c]), 1 for a class that neither occurs nor is predicted. All are 0 before any
    pixel counts.
    bottoms: scores (N, C, H, W); label map (N, 1, H, W), class numbers 0 to C-1, or one of
    `ignore_label`, which do not count.
    top: (1, 1, 1, 3): the chosen `metric` (default PixelAccuracy), ClassAccuracy, PixelIOU. No
    gradient. M starts anew with each forward pass, or with `reset: false` goes on.
    Raises CaffeError for any other label and for shapes that do not fit.
    Source: DeepLab's SegAccuracyLayer, as PSPNet has it.
    """

    bottoms = 2
    repeatable = False

    def setup(self, scores: Shape, label: Shape) -> None:
        if len(scores) != 4:
            self.fail(f"expected scores (N, C, H, W), got {scores}")
        self.confusion = torch.zeros(scores[1], scores[1], dtype=torch.long)

    def top_shapes(self, scores: Shape, label: Shape) -> list[Shape]:
        if label != (scores[0], 1, *scores[2:]):
            self.fail(f"expected bottoms (N, C, H, W) and (N, 1, H, W), got {scores} and {label}")
        return [(1, 1, 1, 3)]

    def forward(self, scores: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.top_shapes(tuple(scores.shape), tuple(label.shape))
        param, classes = self.layer_param.seg_accuracy_param, len(self.confusion)
        truth = label.detach().long().flatten()
        # flip: argmax takes the first of equal scores.
        best = classes - 1 - scores.detach().flip(1).argmax(dim=1).flatten()
        counts = ~torch.isin(truth, truth.new_tensor(list(param.ignore_label)))
        hint = ", or a seg_accuracy_param.ignore_label"
        truth = checked_indices(self, truth[counts], classes, "label", hint)
        pairs = torch.bincount(truth * classes + best[counts], minlength=classes**2)
        matrix = pairs.reshape(classes, classes)
        self.confusion = matrix if param.reset else matrix + self.confusion.to(matrix.device)
        return self._measures().to(scores.dtype).reshape(1, 1, 1, 3)

    def _measures(self) -> torch.Tensor:
        matrix, param = self.confusion.double(), self.layer_param.seg_accuracy_param
        own, rows = matrix.diagonal(), matrix.sum(dim=1)
        if not rows.any():
            return rows.new_zeros(3)
        union = rows + matrix.sum(dim=0) - own
        metrics = caffe_pb2.SegAccuracyParameter
        found = {
            metrics.PixelAccuracy: own.sum() / rows.sum(),
            metrics.ClassAccuracy: (own[rows > 0] / rows[rows > 0]).mean(),
            metrics.PixelIOU: torch.where(union > 0, own / union.clamp(min=1), 1).mean(),
        }
        names = (param.metric, metrics.ClassAccuracy, metrics.PixelIOU)
        return torch.stack([found[name] for name in names])
