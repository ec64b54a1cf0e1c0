"""BiasChannel: a push for the classes that an image is known to show."""

import torch

from caffe.indices import checked_indices
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("BiasChannel")
class BiasChannel(Layer):
    """y = x + `fg_bias` in the channels of the given labels, + `bg_bias` in `background_label`'s.

    bottoms: x (N, C, H, W), scores; the labels, class numbers 0 to C-1, no gradient: for
    `label_type: IMAGE` those of each image (N, L, 1, 1) or (N, L), for the whole map; for PIXEL
    those of each place (N, 1, H, W). -1 (what UniqueLabel fills up with) and `ignore_label` stand
    for no label; a label given twice counts twice.
    top: y, x's shape. The gradient passes unchanged.
    Raises CaffeError for any other label and for shapes that do not fit.
    Source: DeepLab's BiasChannelLayer; EM-Fixed of Papandreou et al., ICCV 2015.
    """

    bottoms = 2

    def setup(self, x: Shape, label: Shape) -> None:
        kind = self.layer_param.bias_channel_param.label_type
        image = kind == caffe_pb2.BiasChannelParameter.IMAGE
        fits = label[2:] in ((), (1, 1)) if image else label[1:] == (1, *x[2:])
        if len(x) != 4 or len(label) < 2 or label[0] != x[0] or not fits:
            want = "(N, L, 1, 1)" if image else "(N, 1, H, W)"
            self.fail(f"expected bottoms (N, C, H, W) and {want}, got {x} and {label}")

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.bias_channel_param
        labels = label.detach().long().reshape(*label.shape[:2], *label.shape[2:] or (1, 1))
        none = torch.isin(labels, labels.new_tensor([-1, *param.ignore_label]))
        hint = ", or a bias_channel_param.ignore_label"
        index = checked_indices(self, torch.where(none, 0, labels), x.shape[1], "label", hint)
        ground = labels == param.background_label
        bias = torch.where(none, 0, torch.where(ground, param.bg_bias, param.fg_bias)).to(x.dtype)
        return x + x.new_zeros(*x.shape[:2], *labels.shape[2:]).scatter_add(1, index, bias)
