"""Images and arrays on their way into and out of nets: pycaffe's `caffe.io`.

Images here are arrays (H, W, C), colours in the order red, green, blue, float32 in 0..1 as
`load_image` reads them; what a net's data blob holds is (C, H, W), for most nets blue, green, red
in 0..255 less a mean. `Transformer` turns the one into the other.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import cv2
import numpy as np
from scipy import ndimage

from caffe.data import image
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

Numbers = Sequence[int] | np.ndarray

_LUMA = (0.2125, 0.7154, 0.0721)  # of red, green, blue; scikit-image's, which pycaffe reads with


class ArrayError(CaffeError, ValueError):
    """An array of a shape that does not fit; pycaffe raises ValueError, so scripts catch that."""


class ImageError(CaffeError, OSError):
    """A file that is missing or no image; scripts that skip those catch pycaffe's IOError."""


# -- protobuf messages -----------------------------------------------------------------------------


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """The blob's data, or its diff, as an array of its shape.

    The shape is `shape`, or (num, channels, height, width) in files of old.
    Raises ArrayError, a ValueError, if there are more or fewer numbers than the shape says.
    """
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    data = np.array(double, np.float64) if double else np.array(single, np.float32)
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(axis) for axis in legacy):
        shape = tuple(getattr(blob, axis) for axis in legacy)
    else:
        shape = tuple(blob.shape.dim)
    try:
        return data.reshape(shape)
    except ValueError:
        what = "diff" if return_diff else "data"
        raise ArrayError(f"BlobProto of shape {shape}: got {data.size} numbers of {what}") from None


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of the array's shape that holds it, and `diff` as its diff."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr, np.float32).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, np.float32).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """The arrays as one serialized BlobProtoVector."""
    blobs = [array_to_blobproto(array) for array in arraylist]
    return caffe_pb2.BlobProtoVector(blobs=blobs).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays of a serialized BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector.FromString(str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an image (C, H, W): bytes of a uint8 array, float_data of any other.

    Raises ArrayError, a ValueError, if the array has not three axes.
    """
    if arr.ndim != 3:
        raise ArrayError(f"array_to_datum: expected an array (C, H, W), got {arr.shape}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(np.float32).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """The Datum's image (C, H, W): uint8 of bytes, float64 of float_data.

    An encoded one (JPEG, PNG, ...) is decoded, colours in the order blue, green, red as everywhere
    in Caffe's databases. Raises ArrayError, a ValueError, if there are more or fewer numbers than
    its sizes say.
    """
    if datum.encoded:
        return image.decode(datum.data, None).transpose(2, 0, 1)
    if datum.data:
        flat = np.frombuffer(datum.data, np.uint8).copy()
    else:
        flat = np.array(datum.float_data, np.float64)
    shape = (datum.channels, datum.height, datum.width)
    try:
        return flat.reshape(shape)
    except ValueError:
        raise ArrayError(f"Datum of shape (C, H, W) {shape}: got {flat.size} numbers") from None


# -- images ----------------------------------------------------------------------------------------


def _content(filename: str | os.PathLike | IO[bytes]) -> bytes:
    if hasattr(filename, "read"):
        return filename.read()
    try:
        with open(filename, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{filename}: cannot read: {error.strerror}") from None


def load_image(filename: str | os.PathLike | IO[bytes], color: bool = True) -> np.ndarray:
    """An image file (or an open one) as float32 in 0..1.

    color: True for (H, W, 3), red, green, blue, a grey image three times; False for (H, W, 1),
    grey. Transparency is dropped and the camera's orientation ignored, as pycaffe does.
    Raises ImageError, an IOError, naming the file if it is missing or no image.
    """
    content = np.frombuffer(_content(filename), np.uint8)
    try:
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    except cv2.error:  # more pixels than OpenCV reads
        pixels = None
    if pixels is None:
        raise ImageError(f"{filename}: expected an image, got {content.size} bytes of none")
    most = {np.uint8: 255, np.uint16: 65535}.get(pixels.dtype.type, 1)
    scaled = pixels.reshape(*pixels.shape[:2], -1)[:, :, 2::-1] / most
    if color:
        scaled = np.broadcast_to(scaled, (*scaled.shape[:2], 3))
    elif scaled.shape[2] == 3:
        scaled = scaled @ np.reshape(_LUMA, (3, 1))
    return scaled.astype(np.float32)


def resize_image(im: np.ndarray, new_dims: Numbers, interp_order: int = 1) -> np.ndarray:
    """The image (H, W, K) as (*new_dims, K), float32, by splines of order `interp_order`.

    With 1 or 3 channels pixels are areas: pixel i of n covers i/n to (i + 1)/n. What is read
    outside of the image, half a pixel at most, is its least value. This is scikit-image's
    `resize(..., mode="constant")` as it was while Caffe was written: shrinking does not blur first.
    With other numbers of channels pixels are points, and corners stay corners (scipy's `zoom`).
    """
    factors = (new_dims[0] / im.shape[0], new_dims[1] / im.shape[1], 1)
    if im.shape[-1] not in (1, 3):
        return ndimage.zoom(im, factors, order=interp_order).astype(np.float32)
    low, high = float(im.min()), float(im.max())
    resized = ndimage.zoom(
        im.astype(np.float64),
        factors,
        order=interp_order,
        mode="grid-constant",
        cval=low,
        grid_mode=True,
    )
    return resized.clip(low, high).astype(np.float32)


def oversample(images: Sequence[np.ndarray], crop_dims: Numbers) -> np.ndarray:
    """Ten crops of each image (H, W, K): (10 N, *crop_dims, K) float32, image by image.

    Corners top left, top right, bottom left, bottom right, then the centre, then these mirrored.
    Raises ArrayError, a ValueError, if a crop is larger than the images.
    """
    rows, cols = (int(size) for size in crop_dims)
    height, width = images[0].shape[:2]
    if rows > height or cols > width:
        raise ArrayError(f"oversample: expected crops of at most {height, width}, got {rows, cols}")
    down, right = height - rows, width - cols
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = []
    for im in images:
        five = [im[y : y + rows, x : x + cols] for y, x in corners]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, np.float32)


class Transformer:
    """Turns images into what a net's inputs take, and back.

    inputs: {name of the input: its shape (N, C, H, W)}. Nothing but the size changes until it is
    set; then `preprocess` does, in this order:
      resize to (H, W), transpose, swap channels, times raw_scale, minus mean, times input_scale.
    Everything raises CaffeError for a name that is not in `inputs`.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise CaffeError(f'Transformer: no input "{in_}"; inputs: {", ".join(self.inputs)}')
        return self.inputs[in_]

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The image (H', W', K), not changed itself, as float32 of the input's shape less N."""
        size = self._shape(in_)[2:]
        out = np.array(data, np.float32)
        if out.shape[:2] != size:
            out = resize_image(out, size)
        if in_ in self.transpose:
            out = out.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            out = out[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            out *= self.raw_scale[in_]
        if in_ in self.mean:
            out -= self.mean[in_]
        if in_ in self.input_scale:
            out *= self.input_scale[in_]
        return out

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """What `preprocess` made, (C, H, W) or (1, C, H, W), undone except for the size.

        (H, W, K) if a transpose is set, else without the axes of length 1.
        """
        self._shape(in_)
        axes = len(self.transpose.get(in_, ()))
        out = (data.reshape(data.shape[-axes:]) if axes else np.squeeze(data)).copy()
        if in_ in self.input_scale:
            out /= self.input_scale[in_]
        if in_ in self.mean:
            out += self.mean[in_]
        if in_ in self.raw_scale:
            out /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            out = out[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the axes: (2, 0, 1) makes (C, H, W) of an image (H, W, C).

        Raises CaffeError if there is not one for each of the input's axes less the first.
        """
        axes = len(self._shape(in_)) - 1
        if len(order) != axes:
            raise ArrayError(
                f'set_transpose: input "{in_}" of shape {self.inputs[in_]}: expected an order of '
                f"{axes} axes, got {tuple(order)}"
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the channels: (2, 1, 0) makes blue, green, red of red, green, blue.

        It takes effect behind the transpose, on the first axis. Raises CaffeError if there is not
        one for each of the input's channels.
        """
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise ArrayError(
                f'set_channel_swap: input "{in_}" of shape {self.inputs[in_]}: expected an order '
                f"of {channels} channels, got {tuple(order)}"
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """What to multiply by before the mean is subtracted: 255 for images in 0..1."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """What to subtract: one number per channel (C,), or an image (C, H', W') or (H, W).

        An image of another size is resized. It is in the net's order of channels and in the range
        that raw_scale gives. Raises ArrayError, a ValueError, for other numbers of channels.
        """
        shape = self._shape(in_)[1:]
        channels = mean.shape[0] if mean.ndim in (1, 3) else 1
        if mean.ndim not in (1, 2, 3) or channels != shape[0]:
            raise ArrayError(
                f'set_mean: input "{in_}" of shape {self.inputs[in_]}: expected a mean '
                f"({shape[0]},) or {shape}, got {mean.shape}"
            )
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.shape[-2:] != shape[1:]:
            planes = mean.reshape(channels, *mean.shape[-2:]).transpose(1, 2, 0)
            mean = resize_image(planes, shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """What to multiply by after the mean was subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale
