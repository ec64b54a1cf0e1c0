"""ImageSegData: images and label maps from a list."""

from collections.abc import Iterator

import numpy as np

from caffe.data import image
from caffe.data.list_layer import ListLayer
from caffe.data.transformer import Draw
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.registry import register

_LABELS = caffe_pb2.ImageDataParameter


@register("ImageSegData")
class ImageSegData(ListLayer):
    """The next `batch_size` images of the list `source`, lines "path label", with label maps.

    tops: data (N, C, H, W), C = 3 (BGR) or 1, resized to `new_height`, `new_width` if given, then
    transform_param; label (N, 1, H, W), 0 to 255; data_dim (N, 1, 1, 2), the image's height and
    width before transform_param, at most H and W: the part of a padded image that is its own.
    `label_type`: PIXEL reads the label map from the image file "label" (its grey levels), IMAGE
    fills it with the number "label", NONE with `ignore_label` and needs no second column.
    transform_param applies to image and label map alike (see caffe/data/transformer.py); a crop
    larger than the image is filled up with the mean values and `ignore_label`.
    `shuffle`, `rand_skip`, `root_folder` as in ImageData; paths have no blanks in them.
    Source: the ImageSegDataLayer of DeepLab and the PSPNet fork, which resizes label maps to
    `new_height`, `new_width` by mixing the labels of neighbours; here it is the nearest one.
    Raises CaffeError naming list and line for a bad line, image or label map.
    """

    tops = (1, 3)

    def setup(self) -> None:
        self.param = param = self.layer_param.image_data_param
        if self.layer_param.transform_param.mean_file:
            self.fail("transform_param.mean_file is not supported; give mean_value")
        if not 0 <= param.ignore_label <= 255:
            self.fail(f"expected an ignore_label of 0 to 255, got {param.ignore_label}")
        self.read_list(param, "image_data_param")
        super().setup()

    def records(self) -> Iterator[int]:
        return self.order()

    def where(self, record: int) -> str:
        return self.lines[record][0]

    def load(self, record: int, draw: Draw) -> tuple[np.ndarray, ...]:
        columns = self.lines[record][1].split()
        pixels = image.read(self.param.root_folder + columns[0], self.param.is_color)
        pixels = image.resize(pixels, *self.size_of(pixels))
        data, labels = self.transformer.with_labels(
            pixels, self._labels(columns, pixels.shape), draw, self.param.ignore_label
        )
        dim = np.minimum(pixels.shape[:2], data.shape[1:]).astype(np.float32)
        return data, labels, dim.reshape(1, 1, 2)

    def _labels(self, columns: list[str], shape: tuple[int, ...]) -> np.ndarray:
        """The label map (H, W, 1) of a line for an image of this shape."""
        height, width, _ = shape
        if self.param.label_type == _LABELS.NONE:
            return np.full((height, width, 1), self.param.ignore_label, np.uint8)
        if len(columns) < 2:
            raise CaffeError(f'expected "path label", got "{columns[0]}" (or label_type: NONE)')
        if self.param.label_type == _LABELS.IMAGE:
            return np.full((height, width, 1), _class_number(columns[1]), np.uint8)
        path = self.param.root_folder + columns[1]
        labels = image.read(path, color=False)
        if self.param.new_height:
            return image.resize(labels, height, width, image.NEAREST)
        if labels.shape[:2] != (height, width):
            raise CaffeError(
                f"{path}: expected a label map (H, W) of {(height, width)} like its image, got "
                f"{labels.shape[:2]}"
            )
        return labels


def _class_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 255:
        raise CaffeError(
            f'expected a label of 0 to 255, got "{text}"; label maps need label_type: PIXEL'
        )
    return int(text)
