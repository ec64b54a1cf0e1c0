"""Input: the blobs that the user fills."""

import torch

from caffe.blob import Blob
from caffe.layer import Layer, Shape
from caffe.registry import register


@register("Input")
class Input(Layer):
    """Tops whose numbers come from outside: `net.blobs["data"].data[...] = x`.

    input_param: one shape for all tops, or one for each top; without any the tops are single
    numbers until `net.blobs["data"].reshape(...)`.
    Source: BVLC Caffe's InputLayer; nets with `input:` lines get one (see caffe/graph.py).
    """

    bottoms = 0
    tops = (1, None)

    def setup(self) -> None:
        shapes = [tuple(shape.dim) for shape in self.layer_param.input_param.shape] or [()]
        shapes = self.one_each(shapes, len(self.layer_param.top), "input_param.shape")
        self.blobs_of_tops = [Blob(shape) for shape in shapes]

    def attach(self, *tops: Blob) -> None:
        self.blobs_of_tops = list(tops)

    def top_shapes(self) -> list[Shape]:
        return [blob.shape for blob in self.blobs_of_tops]

    def forward(self) -> tuple[torch.Tensor, ...]:
        return tuple(blob.tensor(self._device).detach() for blob in self.blobs_of_tops)
