"""caffe.Detector: what a classifier says about windows of images (R-CNN, Girshick et al. 2014)."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from caffe import io
from caffe.classifier import image_transformer
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.proto.caffe_pb2 import TEST

_SEARCH_WIDTH = 500  # R-CNN searches images of this width, in pixels,
_LEAST_SIDE = 20  # and keeps windows whose sides are at least this long then


def selective_search(image: np.ndarray) -> np.ndarray:
    """Windows (n, 4) int that may hold objects: ymin, xmin, ymax, xmax, the last two excluded.

    image: (H, W, 3) float32 in 0..1, red, green, blue. Selective Search (Uijlings et al. 2013) in
    its fast variant, as R-CNN uses it, by OpenCV; sorted, for OpenCV's own order is random.
    """
    factor = _SEARCH_WIDTH / image.shape[1]
    pixels = (image[:, :, ::-1] * 255).round().astype(np.uint8)
    small = cv2.resize(pixels, (_SEARCH_WIDTH, max(1, round(image.shape[0] * factor))))
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(small)
    search.switchToSelectiveSearchFast()
    x, y, width, height = np.reshape(search.process(), (-1, 4)).T
    boxes = np.stack([y, x, y + height, x + width], axis=1)
    boxes = boxes[np.minimum(width, height) >= _LEAST_SIDE]
    return np.unique((boxes / factor).round().astype(int), axis=0)


class Detector(Net):
    """A net for windows of images, with its preprocessing: pycaffe's `Detector`.

    mean, input_scale, raw_scale, channel_swap: of io.Transformer. context_pad: how many pixels of
    the net's input, on each side, show what surrounds the window (R-CNN: 16).
    """

    def __init__(
        self,
        model_file: str | os.PathLike,
        pretrained_file: str | os.PathLike | None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(
        self, images_windows: Iterable[tuple[Any, Iterable[Any]]]
    ) -> list[dict[str, Any]]:
        """What the net's first output says about windows, each resized to the net's input.

        images_windows: pairs of an image file and its windows (ymin, xmin, ymax, xmax), the last
        two excluded. Returns for each window, in order, a dict of `window`, `prediction` and
        `filename`. Raises CaffeError naming a window that holds no pixel.
        """
        name = self.inputs[0]
        found, inputs = [], []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                found.append({"window": window, "filename": filename})
                inputs.append(self.transformer.preprocess(name, self.crop(image, window)))
        if not found:
            return []
        predictions = self.forward_all(**{name: np.array(inputs)})[self.outputs[0]]
        for detection, prediction in zip(found, predictions, strict=True):
            detection["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[Any]) -> list[dict[str, Any]]:
        """`detect_windows` of the windows that Selective Search finds in each image."""
        names = list(image_fnames)
        return self.detect_windows((name, selective_search(io.load_image(name))) for name in names)

    def crop(self, im: np.ndarray, window: io.Numbers) -> np.ndarray:
        """The window (ymin, xmin, ymax, xmax) of an image (H, W, C), with its context if any.

        With `context_pad` the result is of the net's size. The window takes the middle of it, what
        surrounds the window the rest, and the mean what lies outside of the image.
        """
        if not self.context_pad:
            return self._pixels(im, window, np.asarray(window, int))
        size = self.crop_dims[:2]
        low, high = np.reshape(window, (2, 2)).astype(float)
        half = (high - low + 1) / 2 * (size / (size - 2 * self.context_pad))
        centre = low + (high - low + 1) / 2
        low, high = np.round(centre - half), np.round(centre + half)
        factor = size / (high - low + 1)
        start = np.round(np.maximum(-low, 0) * factor).astype(int)
        low, high = (np.clip(corner, 0, im.shape[:2]).astype(int) for corner in (low, high))
        stop = np.minimum(start + np.round((high - low + 1) * factor).astype(int), size)
        pixels = self._pixels(im, window, [*low, *high])
        out = self.crop_mean.copy()
        out[start[0] : stop[0], start[1] : stop[1]] = io.resize_image(pixels, stop - start)
        return out

    def _pixels(self, im: np.ndarray, window: io.Numbers, box: io.Numbers) -> np.ndarray:
        pixels = im[box[0] : box[2], box[1] : box[3]]
        if not pixels.size:
            raise CaffeError(
                f"window {tuple(np.asarray(window).tolist())}: expected ymin, xmin, ymax, xmax "
                f"with pixels of an image of {im.shape[:2]}"
            )
        return pixels

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context of windows, in pixels of the net's input; None or 0 for none.

        Raises CaffeError if it leaves no pixel for the window.
        """
        name = self.inputs[0]
        channels, *size = self.blobs[name].shape[1:]
        if context_pad and 2 * context_pad >= min(size):
            raise CaffeError(
                f"context_pad: expected less than half of the net's {tuple(size)}, "
                f"got {context_pad}"
            )
        self.context_pad = context_pad
        self.crop_dims = np.array([*size, channels])
        # In the images' own range and order this is what the net sees as zero.
        zero = np.zeros((channels, *size), np.float32)
        self.crop_mean = self.transformer.deprocess(name, zero)
