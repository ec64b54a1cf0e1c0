"""AdaptiveBiasChannel: as strong a push as an image's classes need to win their share of it."""

import math

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("AdaptiveBiasChannel")
class AdaptiveBiasChannel(Layer):
    """y = x + b_l in the channel of each label l that the image shows.

    First `suppress_others` lowers the channels of absent labels, where need be, to `margin_others`
    below the best one present. Then, in each of `num_iter` rounds, label after label from the
    smallest, b_l grows by the least amount (>= 0) with which channel l is above all others at
    round(portion * H W) places, and level with the best of them at one more if there is one;
    portion is `bg_portion` for label 0 and `fg_portion` for the others.
    bottoms: x (N, C, H, W), scores; labels (N, L, 1, 1) or (N, L), class numbers 0 to C-1; other
    numbers stand for no label (-1 is what UniqueLabel fills up with). An image without labels stays
    as it is. top: y, x's shape. The gradient of x passes unchanged.
    Raises CaffeError for shapes that do not fit and portions outside 0 to 1.
    Source: DeepLab's AdaptiveBiasChannelLayer; EM-Adapt of Papandreou et al., ICCV 2015.
    """

    bottoms = 2

    def setup(self, x: Shape, label: Shape) -> None:
        param = self.layer_param.adaptive_bias_channel_param
        if len(x) != 4 or label[:1] != x[:1] or len(label) < 2 or math.prod(label[2:]) != 1:
            self.fail(f"expected bottoms (N, C, H, W) and (N, L, 1, 1), got {x} and {label}")
        if param.num_iter < 1:
            self.fail(f"expected num_iter of at least 1, got {param.num_iter}")
        for field in ("bg_portion", "fg_portion"):
            portion = getattr(param, field)
            if not 0 <= portion <= 1:
                self.fail(f"expected {field} from 0 to 1, got {portion:g}")

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if x.is_meta:
            return x.clone()
        scores = x.detach().flatten(2).clone()
        for own, row in zip(scores, label.detach().flatten(1).long().tolist(), strict=True):
            present = sorted({value for value in row if 0 <= value < len(own)})
            if present:
                self._push(own, present)
        return x + (scores.reshape(x.shape) - x.detach())

    def _push(self, scores: torch.Tensor, present: list[int]) -> None:
        """Change the scores (C, H W) of one image in place."""
        param = self.layer_param.adaptive_bias_channel_param
        if param.suppress_others:
            absent = [channel for channel in range(len(scores)) if channel not in present]
            ceiling = scores[present].amax(dim=0) - param.margin_others
            scores[absent] = scores[absent].minimum(ceiling)
        for channel in present * param.num_iter:
            portion = param.fg_portion if channel else param.bg_portion
            places = round(portion * scores.shape[1])
            others = [other for other in range(len(scores)) if other != channel]
            if places and others:
                lack = scores[others].amax(dim=0) - scores[channel]
                level = min(places + 1, len(lack))
                scores[channel] += lack.kthvalue(level).values.clamp(min=0)
