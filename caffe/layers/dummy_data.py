"""DummyData: blobs filled with constants or random numbers."""

import torch

from caffe.filler import fill
from caffe.layer import Layer, Shape
from caffe.proto.caffe_pb2 import FillerParameter
from caffe.registry import register

_LEGACY = ("num", "channels", "height", "width")


@register("DummyData")
class DummyData(Layer):
    """Tops of given shapes, filled anew in each forward pass.

    tops: any number, of `shape` (or num, channels, height, width): one for all or one each; filled
    by `data_filler`: none (zeros), one for all or one each.
    Source: Caffe's DummyDataLayer.
    """

    bottoms = 0
    tops = (1, None)

    def _spread(self, values: list, what: str) -> list:
        tops = len(self.layer_param.top)
        if len(values) not in (1, tops):
            self.fail(f"expected 1 or {tops} {what}, got {len(values)}")
        return values * tops if len(values) == 1 else values

    def setup(self) -> None:
        param = self.layer_param.dummy_data_param
        legacy = [list(getattr(param, axis)) for axis in _LEGACY]
        if bool(param.shape) == any(legacy):
            self.fail("expected either shape or num, channels, height and width")
        if param.shape:
            shapes = [tuple(shape.dim) for shape in param.shape]
        else:
            axes = [self._spread(sizes, axis) for sizes, axis in zip(legacy, _LEGACY, strict=True)]
            shapes = list(zip(*axes, strict=True))
        self.shapes = self._spread(shapes, "shape")
        self.fillers = self._spread(list(param.data_filler) or [FillerParameter()], "data_filler")

    def top_shapes(self) -> list[Shape]:
        return self.shapes

    def forward(self) -> tuple[torch.Tensor, ...]:
        pairs = zip(self.shapes, self.fillers, strict=True)
        return tuple(fill(shape, filler).to(self._device) for shape, filler in pairs)
