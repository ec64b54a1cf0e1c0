"""Images as Caffe sees them: arrays (H, W, C) of bytes, colours in the order blue, green, red."""

import os

import cv2
import numpy as np

from caffe.errors import CaffeError

LINEAR, NEAREST = cv2.INTER_LINEAR, cv2.INTER_NEAREST


def decode(encoded: bytes, color: bool | None) -> np.ndarray:
    """An encoded image (JPEG, PNG, ...) as uint8 (H, W, C).

    color: True for C = 3, False for C = 1, None for as many channels as the file has.
    Raises CaffeError if OpenCV cannot decode it or it has more than 8 bits per channel.
    """
    flags = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags[color]) if encoded else None
    except cv2.error:  # more pixels than OpenCV takes
        image = None
    if image is None:
        raise CaffeError(f"expected an image file, got {len(encoded)} bytes that do not decode")
    if image.dtype != np.uint8:
        raise CaffeError(f"expected an image of 8 bits per channel, got {image.dtype}")
    return image.reshape(*image.shape[:2], -1)


def resize(image: np.ndarray, height: int, width: int, interpolation: int = LINEAR) -> np.ndarray:
    """The image (H, W, C) as (height, width, C), bilinear unless said, as cv::resize does it."""
    if image.shape[:2] == (height, width):
        return image
    resized = cv2.resize(image, (width, height), interpolation=interpolation)
    return resized.reshape(height, width, -1)


def content(path: str | os.PathLike) -> bytes:
    """The bytes of a file; CaffeError naming the path if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None


def read(path: str | os.PathLike, color: bool | None = True) -> np.ndarray:
    """An image file as uint8 (H, W, C); see `decode`.

    Raises CaffeError naming the path if it is missing or no image.
    """
    encoded = content(path)
    try:
        return decode(encoded, color)
    except CaffeError as error:
        raise CaffeError(f"{path}: {error}") from None
