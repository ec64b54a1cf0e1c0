"""DummyData: blobs filled with constants or random numbers."""

import torch

from caffe.blob import Blob
from caffe.filler import fill
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2
from caffe.registry import register

_LEGACY = ("num", "channels", "height", "width")


@register("DummyData")
class DummyData(Layer):
    """Tops of given shapes, filled with constants once or by chance in each forward pass.

    tops: any number, of `shape` (or num, channels, height, width): one for all or one each; filled
    by `data_filler`: none (zeros), one for all or one each. What the user writes into a constant
    top stays there; a top that the user reshapes keeps that shape.
    Source: Caffe's DummyDataLayer.
    """

    bottoms = 0
    tops = (1, None)

    def setup(self) -> None:
        param, tops = self.layer_param.dummy_data_param, len(self.layer_param.top)
        legacy = [list(getattr(param, axis)) for axis in _LEGACY]
        if bool(param.shape) == any(legacy):
            self.fail("expected either shape or num, channels, height and width")
        if param.shape:
            shapes: list[Shape] = [tuple(shape.dim) for shape in param.shape]
        else:
            pairs = zip(legacy, _LEGACY, strict=True)
            axes = [self.one_each(sizes, tops, axis) for sizes, axis in pairs]
            shapes = list(zip(*axes, strict=True))
        self.blobs_of_tops = [Blob(shape) for shape in self.one_each(shapes, tops, "shape")]
        fillers = list(param.data_filler) or [caffe_pb2.FillerParameter()]
        self.fillers = self.one_each(fillers, tops, "data_filler")

    def attach(self, *tops: Blob) -> None:
        self.blobs_of_tops = list(tops)
        for blob, filler in zip(tops, self.fillers, strict=True):
            blob.store(fill(blob.shape, filler))

    def top_shapes(self) -> list[Shape]:
        return [blob.shape for blob in self.blobs_of_tops]

    def _top(self, blob: Blob, filler: caffe_pb2.FillerParameter) -> torch.Tensor:
        if filler.type == "constant":
            return blob.tensor(self._device).detach()
        return fill(blob.shape, filler).to(self._device)

    def forward(self) -> tuple[torch.Tensor, ...]:
        return tuple(map(self._top, self.blobs_of_tops, self.fillers))
