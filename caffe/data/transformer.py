"""transform_param: what happens to an image between the file and the blob."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from caffe.caffemodel import read_blob
from caffe.data import image as images
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_LARGEST_FACTOR = 16


class Draw(NamedTuple):
    """One image's random choices, so that they are made in order and used in any thread."""

    factor: float = 1.0
    top: float = 0.0  # of the room that the crop leaves, 0 to 1
    left: float = 0.0
    mirror: bool = False


class Transformer:
    """Applies a TransformationParameter to one image.

    y = scale * mirror(crop(resize(x, factor)) - mean). The crop is drawn in the TRAIN phase and
    central in TEST; `mirror` flips with probability 1/2 and a factor is drawn from `scale_factors`
    in both phases, as in Caffe's DataTransformer. mean: `mean_file`, of the size of the image
    before the crop, or `mean_value`, one or one per channel.
    force_color, force_gray: only for what decodes images (see caffe/data/datum.py).
    Raises CaffeError for fields that contradict each other or do not fit an image.
    """

    def __init__(self, param: caffe_pb2.TransformationParameter, phase: int) -> None:
        self.param, self.phase = param, phase
        if param.crop_size and (param.crop_height or param.crop_width):
            raise CaffeError("transform_param: give crop_size or crop_height and crop_width")
        self.crop = (param.crop_height or param.crop_size, param.crop_width or param.crop_size)
        if bool(self.crop[0]) != bool(self.crop[1]):
            raise CaffeError("transform_param: give both crop_height and crop_width")
        if param.force_color and param.force_gray:
            raise CaffeError("transform_param: give force_color or force_gray, not both")
        if param.mean_file and param.mean_value:
            raise CaffeError("transform_param: give mean_file or mean_value, not both")
        if any(not 0 < factor <= _LARGEST_FACTOR for factor in param.scale_factors):
            raise CaffeError(
                f"transform_param: expected scale_factors above 0 and at most {_LARGEST_FACTOR}, "
                f"got {list(param.scale_factors)}"
            )
        self.mean = _read_mean(param.mean_file) if param.mean_file else None

    def draw(self, rng: np.random.Generator) -> Draw:
        """Choose what one image undergoes."""
        factors = self.param.scale_factors
        draw = Draw(factors[rng.integers(len(factors))] if factors else 1.0)
        if self.crop[0] and self.phase == caffe_pb2.TRAIN:
            draw = draw._replace(top=rng.random(), left=rng.random())
        return draw._replace(mirror=bool(rng.integers(2))) if self.param.mirror else draw

    def _scaled(self, image: np.ndarray, draw: Draw, interpolation: int) -> np.ndarray:
        if draw.factor == 1:
            return image
        # The fork multiplies in single precision and cuts off what is behind the point.
        sizes = np.array(image.shape[:2], np.float32) * np.float32(draw.factor)
        height, width = np.maximum(1, sizes.astype(int)).tolist()
        return images.resize(image, height, width, interpolation)

    def _padded(self, image: np.ndarray, value: Sequence[float]) -> np.ndarray:
        """The image, at its bottom and right grown to the crop's size where it is smaller."""
        rows, columns = (max(0, self.crop[axis] - image.shape[axis]) for axis in (0, 1))
        border = cv2.copyMakeBorder(
            image, 0, rows, 0, columns, cv2.BORDER_CONSTANT, value=tuple(value)
        )
        return border.reshape(*border.shape[:2], -1)

    def _window(self, shape: tuple[int, ...], draw: Draw) -> tuple[slice, ...]:
        """Which part of an image of this shape is cropped."""
        if not self.crop[0]:
            return np.s_[:, :]
        room = [size - crop for size, crop in zip(shape, self.crop, strict=False)]
        if min(room) < 0:
            raise CaffeError(f"expected an image of at least {self.crop} to crop, got {shape[:2]}")
        if self.phase == caffe_pb2.TRAIN:
            top, left = int(draw.top * (room[0] + 1)), int(draw.left * (room[1] + 1))
        else:
            top, left = room[0] // 2, room[1] // 2
        return np.s_[top : top + self.crop[0], left : left + self.crop[1]]

    def _mean_of(self, shape: tuple[int, ...]) -> np.ndarray | None:
        if self.mean is not None:
            if self.mean.shape != shape:
                raise CaffeError(
                    f"{self.param.mean_file}: expected a mean of the image's (H, W, C) = {shape}, "
                    f"got {self.mean.shape}"
                )
            return self.mean
        values = self.param.mean_value
        if values and len(values) not in (1, shape[2]):
            raise CaffeError(f"expected 1 or {shape[2]} mean_value, got {len(values)}")
        return np.broadcast_to(np.array(values, np.float32), shape) if values else None

    def __call__(self, image: np.ndarray, draw: Draw) -> np.ndarray:
        """The image (H, W, C), bytes or floats, as a float32 blob (C, H', W')."""
        image = self._scaled(image, draw, images.LINEAR)
        window = self._window(image.shape, draw)
        mean = self._mean_of(image.shape)
        return _planes(
            image[window], None if mean is None else mean[window], self.param.scale, draw.mirror
        )

    def with_labels(
        self, image: np.ndarray, labels: np.ndarray, draw: Draw, ignore_label: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The image (H, W, C) and its label map (H, W, 1), bytes, as blobs of C and 1 channels.

        Both are scaled, cropped and mirrored alike, the labels by nearest neighbour. Where the crop
        is larger than the scaled image, the mean (rounded to bytes) and `ignore_label` are added
        below and to the right.
        """
        image = self._scaled(image, draw, images.LINEAR)
        labels = self._scaled(labels, draw, images.NEAREST)
        draw = draw._replace(factor=1.0)
        if self.crop[0]:
            mean = self._mean_of(image.shape)
            image = self._padded(image, [0] if mean is None else mean[0, 0].tolist())
            labels = self._padded(labels, [ignore_label])
        window = self._window(labels.shape, draw)
        return self(image, draw), _planes(labels[window], None, 1.0, draw.mirror)


def _planes(image: np.ndarray, mean: np.ndarray | None, scale: float, mirror: bool) -> np.ndarray:
    """scale * (image - mean), both (H, W, C), flipped if `mirror`, as a float32 blob (C, H, W).

    One plane after the other: several times faster than turning the interleaved numbers around.
    """
    beside = image.strides[1] == image.itemsize  # a plane's numbers, as in a Datum of raw bytes
    planes = image.transpose(2, 0, 1) if beside else cv2.split(np.ascontiguousarray(image))
    out = np.empty((len(planes), *image.shape[:2]), np.float32)
    for channel, (plane, target) in enumerate(zip(planes, out, strict=True)):
        if mean is None:
            np.copyto(target, plane)
        else:
            np.subtract(plane, mean[:, :, channel], out=target, dtype=np.float32)
        if scale != 1:
            target *= np.float32(scale)
        if mirror:
            cv2.flip(target, 1, dst=target)
    return out


def _read_mean(path: str) -> np.ndarray:
    """A mean image (H, W, C) from a binaryproto file."""
    array = read_blob(path)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3:
        raise CaffeError(f"{path}: expected one mean image (C, H, W), got {array.shape}")
    return array.transpose(1, 2, 0)
