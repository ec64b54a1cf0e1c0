"""The base class of layers that read images from a list."""

from collections.abc import Iterator

import numpy as np

from caffe.data import image_list
from caffe.data.batch_layer import BatchLayer
from caffe.proto import caffe_pb2


class ListLayer(BatchLayer):
    """Images of the list `source`, resized to `new_height`, `new_width` if those are given.

    `shuffle`: a new order in every round; `rand_skip`: the first round starts 0 to rand_skip - 1
    lines later. Subclasses call `read_list` before `setup`, and load what `order` gives.
    """

    def read_list(
        self, param: caffe_pb2.ImageDataParameter | caffe_pb2.HumanAttDataParameter, name: str
    ) -> None:
        """Open the list of `param`, the layer's field `name`, and check what goes with it."""
        self.refuse_moved(param, name)
        if bool(param.new_height) != bool(param.new_width):
            self.fail(f"{name}: expected both new_height and new_width, or neither")
        self.lines = image_list.Lines(param.source)
        if param.rand_skip > len(self.lines):
            self.fail(
                f"{name}: expected rand_skip of at most {len(self.lines)}, the lines of "
                f"{param.source}, got {param.rand_skip}"
            )
        self.batch_size = param.batch_size
        self._list = param

    def order(self) -> Iterator[int]:
        """Which lines to load, one after the other, without end."""
        shuffle, skip = self._list.shuffle, self._list.rand_skip
        return image_list.cycle(len(self.lines), shuffle, skip, self.rng)

    def size_of(self, pixels: np.ndarray) -> tuple[int, int]:
        """Height and width that an image (H, W, C) is resized to."""
        wanted = (self._list.new_height, self._list.new_width)
        return wanted if all(wanted) else pixels.shape[:2]
