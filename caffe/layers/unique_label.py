"""UniqueLabel: which labels occur in a label map."""

import torch

from caffe.layer import Layer, Shape
from caffe.registry import register


@register("UniqueLabel")
class UniqueLabel(Layer):
    """The different labels of each image, from the smallest, then -1 up to `max_labels` numbers.

    `ignore_label` are left out, `force_label` are always there.
    bottom: label map (N, 1, H, W), whole numbers. top: labels (N, max_labels, 1, 1), as BiasChannel
    and AdaptiveBiasChannel read them. No gradient.
    Raises CaffeError if an image has more than `max_labels`. Source: DeepLab's UniqueLabelLayer.
    """

    def setup(self, bottom: Shape) -> None:
        param = self.layer_param.unique_label_param
        if len(bottom) != 4 or bottom[1] != 1:
            self.fail(f"expected a bottom (N, 1, H, W), got {bottom}")
        if param.max_labels < 1:
            self.fail(f"expected max_labels of at least 1, got {param.max_labels}")
        if any(not value.is_integer() for value in param.force_label):
            self.fail(f"expected whole numbers as force_label, got {list(param.force_label)}")
        self.forced = {int(value) for value in param.force_label}

    def top_shapes(self, bottom: Shape) -> list[Shape]:
        return [(bottom[0], self.layer_param.unique_label_param.max_labels, 1, 1)]

    def forward(self, label: torch.Tensor) -> torch.Tensor:
        param = self.layer_param.unique_label_param
        top = label.new_full((len(label), param.max_labels), -1)
        for n, image in enumerate(label.detach().long()):
            found = set(image.unique().tolist()) - set(param.ignore_label) | self.forced
            if len(found) > param.max_labels:
                self.fail(
                    f"expected at most {param.max_labels} labels (max_labels) per image, got "
                    f"{sorted(found)} in image {n}"
                )
            top[n, : len(found)] = top.new_tensor(sorted(found))
        return top.reshape(self.top_shapes(tuple(label.shape))[0])
