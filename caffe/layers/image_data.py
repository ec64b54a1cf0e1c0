"""ImageData: images and class numbers from a list."""

from collections.abc import Iterator

import numpy as np

from caffe.data import image
from caffe.data.list_layer import ListLayer
from caffe.data.transformer import Draw
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("ImageData")
class ImageData(ListLayer):
    """The next `batch_size` images of the list `source`, lines "path label".

    tops: data (N, C, H, W), C = 3 (BGR) or 1, resized to `new_height`, `new_width` if given, then
    transform_param (see caffe/data/transformer.py); label (N), the integers of the list.
    `shuffle`: a new order in every round; `rand_skip`: start 0 to rand_skip - 1 lines later, drawn
    by chance; `root_folder` is put in front of every path as it stands.
    Source: Caffe's ImageDataLayer. Raises CaffeError naming list and line for a bad line or image.
    """

    def setup(self) -> None:
        self.param = param = self.layer_param.image_data_param
        if param.label_type != caffe_pb2.ImageDataParameter.IMAGE:
            self.fail(
                "image_data_param.label_type: expected IMAGE, one label per image; label maps and "
                'lists without labels are read by type: "ImageSegData"'
            )
        self.read_list(param, "image_data_param")
        self.images = [self._parse(*line) for line in self.lines]
        super().setup()

    def _parse(self, place: str, line: str) -> tuple[str, str, float]:
        try:
            path, label = line.rsplit(maxsplit=1)
            return place, self.param.root_folder + path, float(int(label))
        except ValueError:
            self.fail(f'{place}: expected "path label" with a whole number, got "{line}"')

    def records(self) -> Iterator[int]:
        return self.order()

    def where(self, record: int) -> str:
        return self.images[record][0]

    def load(self, record: int, draw: Draw) -> tuple[np.ndarray, ...]:
        _, path, label = self.images[record]
        pixels = image.read(path, self.param.is_color)
        pixels = image.resize(pixels, *self.size_of(pixels))
        return self.transformer(pixels, draw), np.array(label, np.float32)
