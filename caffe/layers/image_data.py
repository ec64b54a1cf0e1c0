"""ImageData: images and class numbers from a list."""

from collections.abc import Iterator

import numpy as np

from caffe.data import image, image_list
from caffe.data.batch_layer import BatchLayer
from caffe.data.transformer import Draw
from caffe.proto.caffe_pb2 import ImageDataParameter
from caffe.registry import register


@register("ImageData")
class ImageData(BatchLayer):
    """The next `batch_size` images of the list `source`, lines "path label".

    tops: data (N, C, H, W), C = 3 (BGR) or 1, resized to `new_height`, `new_width` if given, then
    transform_param (see caffe/data/transformer.py); label (N), the integers of the list.
    `shuffle`: a new order in every round; `rand_skip`: start up to that many lines later;
    `root_folder` is put in front of every path as it stands.
    Source: Caffe's ImageDataLayer. Raises CaffeError naming list and line for a bad line or image.
    """

    def setup(self) -> None:
        self.param = param = self.layer_param.image_data_param
        self.refuse_moved(param, "image_data_param")
        if param.label_type != ImageDataParameter.IMAGE:
            self.fail("image_data_param.label_type: only IMAGE is supported, one label per image")
        if bool(param.new_height) != bool(param.new_width):
            self.fail("expected both new_height and new_width, or neither")
        self.batch_size = param.batch_size
        self.lines = [self._parse(*line) for line in image_list.Lines(param.source)]
        if param.rand_skip > len(self.lines):
            self.fail(f"expected rand_skip of at most {len(self.lines)} lines")
        super().setup()

    def _parse(self, place: str, line: str) -> tuple[str, str, float]:
        try:
            path, label = line.rsplit(maxsplit=1)
            return place, self.param.root_folder + path, float(int(label))
        except ValueError:
            self.fail(f'{place}: expected "path label" with a whole number, got "{line}"')

    def records(self) -> Iterator[int]:
        return image_list.cycle(len(self.lines), self.param.shuffle, self.param.rand_skip, self.rng)

    def where(self, record: int) -> str:
        return self.lines[record][0]

    def load(self, record: int, draw: Draw) -> tuple[np.ndarray, ...]:
        _, path, label = self.lines[record]
        pixels = image.read(path, self.param.is_color)
        if self.param.new_height:
            pixels = image.resize(pixels, self.param.new_height, self.param.new_width)
        return self.transformer(pixels, draw), np.array(label, np.float32)
