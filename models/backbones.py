"""The student's backbones: VGG16, or a net of models/nets/ up to a tap and beyond."""

from collections.abc import Callable
from typing import ClassVar

from datasets import Dataset
from nets import mobilenet_v1, resnet18
from vgg16 import Branch

import caffe
from caffe.net_spec import Top

FULL_WIDTH = 64  # of VGG16's first maps; the demo's other backbones are as thin as its VGG16
# Of the old averages in a step: those of 100 steps count, since the demo's training takes 750.
KEPT_AVERAGES = 0.99


class Backbone(Branch):
    """A student on the layers of `lower`, which end with the map at stride 16, and `upper`."""

    lower: ClassVar[Callable[[caffe.NetSpec, Top, int], Top]]
    upper: ClassVar[Callable[[caffe.NetSpec, Top, int], Top]]
    full_width: ClassVar[int]
    least_width: ClassVar[int] = 1
    map: Top

    @property
    def width(self) -> int:
        return max(self.least_width, self.full_width * self.size.widths[0] // FULL_WIDTH)

    def convolve(self, data: Top) -> Top:
        """The map at stride 16."""
        self.map = self.lower(self.net, data, self.width)
        self._set_averages()
        return self.map

    def recognise(self, data: Top, classifier: str, classes: int) -> Top:
        """All convolutions, the means of their maps, classifier."""
        top = self.upper(self.net, self.convolve(data), self.width)
        self._set_averages()
        return self.classify(classifier, top, classes)

    def tap(self, name: str) -> Top:
        """Psi: a new 1x1 convolution makes VGG16's channels of the map in its layer's place."""
        shape = {"num_output": self.size.widths[int(name[4]) - 1], "kernel_size": 1}
        rates = (self.new_rate, 2 * self.new_rate)
        return self.learn(f"psi_{name}", "Convolution", self.map, rates, **shape)

    def _set_averages(self) -> None:
        """Tell the layers so far how fast to forget their averages."""
        layers = [made.fn for made in self.net.tops.values() if isinstance(made, Top)]
        for layer in layers:
            if layer.type_name == "BatchNorm":
                layer.params["moving_average_fraction"] = KEPT_AVERAGES


class ResNet18(Backbone):
    lower = staticmethod(resnet18.lower)
    upper = staticmethod(resnet18.upper)
    full_width = resnet18.WIDTH


class MobileNetV1(Backbone):
    lower = staticmethod(mobilenet_v1.lower)
    upper = staticmethod(mobilenet_v1.upper)
    full_width = mobilenet_v1.WIDTH
    least_width = 16  # on 4 and on 8 first maps it learned nothing of the demo's objects

    def convolve(self, data: Top) -> Top:
        return super().convolve(
            self.add("data_scaled", "Power", data, scale=mobilenet_v1.PIXEL_SCALE)
        )


BACKBONES = {"vgg16": Branch, "mobilenet_v1": MobileNetV1, "resnet18": ResNet18}
TITLES = {"mobilenet_v1": "MobileNet v1", "resnet18": "ResNet-18"}  # of those beside VGG16

PRETRAIN_RATES = {"mobilenet_v1": 3e-3}  # where VGG16's does not do


def student_branch(n: caffe.NetSpec, dataset: Dataset, mode: str, new_rate: float = 1) -> Branch:
    """The student's branch of a net."""
    return BACKBONES[dataset.backbone](n, dataset.size, mode, new_rate=new_rate)
