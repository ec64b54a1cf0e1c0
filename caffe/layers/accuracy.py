"""Accuracy: how often the label is among the best scores."""

import torch

from caffe.axes import around
from caffe.layer import Layer
from caffe.loss import class_indices, ignored
from caffe.registry import register


@register("Accuracy")
class Accuracy(Layer):
    """The share of labels that are among the `top_k` highest scores along `axis`.

    bottoms: scores (N..., C, S...); y (N..., S...) or a shape of the same count, class numbers 0 to
    C-1 or `ignore_label` (not counted).
    tops: accuracy (), 0 to 1; optionally (C,), the accuracy on the labels of each class, 0 for a
    class without any. No gradient. Of equal scores the one of the higher class counts as better.
    Source: Caffe's AccuracyLayer, in the version that both forks have.
    """

    bottoms = 2
    tops = (1, 2)

    def setup(self, *_: tuple[int, ...]) -> None:
        if not self.layer_param.accuracy_param.top_k:
            self.fail("expected accuracy_param.top_k of at least 1, got 0")

    def forward(self, scores: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, ...]:
        param = self.layer_param.accuracy_param
        rows = around(self, param.axis, scores.detach())
        outer, classes, inner = rows.shape
        if label.numel() != outer * inner or param.top_k > classes:
            self.fail(
                f"expected {outer * inner} labels and top_k at most {classes} for "
                f"scores {tuple(scores.shape)}, got {tuple(label.shape)} and top_k {param.top_k}"
            )
        index, valid = class_indices(self, label.reshape(outer, inner), classes, ignored(param))
        truth = index.unsqueeze(1)
        own = rows.gather(1, truth)
        higher = torch.arange(classes, device=rows.device).view(1, -1, 1) > truth
        better = (rows > own) | ((rows == own) & higher)
        hit = (valid & (better.sum(dim=1) < param.top_k)).to(rows.dtype)
        counted = valid.to(rows.dtype)
        overall = hit.sum() / counted.sum().clamp(min=1)
        if len(self.layer_param.top) == 1:
            return (overall,)
        hits, counts = (
            rows.new_zeros(classes).scatter_add(0, index.flatten(), part.flatten())
            for part in (hit, counted)
        )
        return overall, hits / counts.clamp(min=1)
