"""HumanAttData: images with several labels and their proposal boxes, from a list."""

from collections.abc import Iterator

import numpy as np

from caffe.data import image
from caffe.data.list_layer import ListLayer
from caffe.data.transformer import Draw
from caffe.errors import CaffeError
from caffe.registry import register

_LARGEST_FACTOR = 16


@register("HumanAttData")
class HumanAttData(ListLayer):
    """The next `batch_size` images of the list `source` with K = `att_num` labels, B = `bbox_num`
    boxes; lines "path y1..yK x1 y1 x2 y2 score ...", separated by blanks.

    tops: data (N, C, H, W), C = 3 (BGR) or 1, resized to `new_height`, `new_width` if given, then
    transform_param; label_roi (N, K + 5 B): the labels, 0 or 1, and the boxes, inclusive corners in
    pixels of the resized image.
    `scale_factors`: one of them, drawn for each batch, multiplies the resized image's height and
    width and the boxes; `mirror` (of transform_param) turns the boxes around with the image.
    `shuffle`, `rand_skip`, `root_folder` as in ImageData.
    Source: the authors' HumanAttDataLayer, the effect of factors and mirror on boxes aside, which
    is ours. Raises CaffeError naming list and line for a bad line, label, box or image.
    """

    def setup(self) -> None:
        self.param = param = self.layer_param.human_att_data_param
        transform = self.layer_param.transform_param
        if transform.crop_size or transform.crop_height or transform.scale_factors:
            self.fail("transform_param: crops and scale_factors would not move the boxes along")
        if any(not 0 < factor <= _LARGEST_FACTOR for factor in param.scale_factors):
            self.fail(
                f"scale_factors: expected factors of height and width, above 0 and at most "
                f"{_LARGEST_FACTOR} (480 of 672 is 0.714286), got {list(param.scale_factors)}"
            )
        self.read_list(param, "human_att_data_param")
        super().setup()

    def records(self) -> Iterator[tuple[int, float]]:
        factors = list(self.param.scale_factors) or [1.0]
        for count, index in enumerate(self.order()):
            if count % self.batch_size == 0:
                factor = factors[self.rng.integers(len(factors))]
            yield index, factor

    def where(self, record: tuple[int, float]) -> str:
        return self.lines[record[0]][0]

    def load(self, record: tuple[int, float], draw: Draw) -> tuple[np.ndarray, ...]:
        index, factor = record
        path, labels, boxes = self._parse(self.lines[index][1])
        pixels = image.read(self.param.root_folder + path, self.param.is_color)
        height, width = self.size_of(pixels)
        _check_boxes(boxes, height, width)
        height, width = round(height * factor), round(width * factor)
        boxes[:, :4] *= np.float32(factor)
        if draw.mirror:
            boxes[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
        data = self.transformer(image.resize(pixels, height, width), draw)
        return data, np.concatenate([labels, boxes.reshape(-1)])

    def _parse(self, line: str) -> tuple[str, np.ndarray, np.ndarray]:
        labels, boxes = self.param.att_num, self.param.bbox_num
        path, *columns = line.split()
        if len(columns) != labels + 5 * boxes:
            raise CaffeError(
                f"expected {1 + labels + 5 * boxes} columns (path, {labels} labels, {boxes} boxes "
                f"of 5), got {1 + len(columns)}"
            )
        try:
            numbers = np.array(columns, np.float32)
        except ValueError as error:
            raise CaffeError(f"expected numbers behind the path: {error}") from None
        wrong = [value for value in numbers[:labels].tolist() if value not in (0, 1)]
        if wrong:
            raise CaffeError(f"expected labels 0 or 1, got {wrong[0]:g}")
        return path, numbers[:labels], numbers[labels:].reshape(boxes, 5)


def _check_boxes(boxes: np.ndarray, height: int, width: int) -> None:
    x1, y1, x2, y2 = boxes[:, :4].T
    inside = (x1 >= 0) & (y1 >= 0) & (x2 <= width - 1) & (y2 <= height - 1)
    wrong = ~(inside & (x1 <= x2) & (y1 <= y2) & np.isfinite(boxes[:, 4]))
    if wrong.any():
        raise CaffeError(
            f"box {wrong.argmax()}: expected x1 <= x2 in 0..{width - 1}, y1 <= y2 in "
            f"0..{height - 1} and a score, got {boxes[wrong.argmax()].tolist()}"
        )
