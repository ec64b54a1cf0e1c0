"""caffe.Classifier: images in, class probabilities out."""

import os
from collections.abc import Sequence

import numpy as np

from caffe import io
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.proto.caffe_pb2 import TEST


def image_transformer(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """From images (H, W, C) to the net's first input, with what is not None; see io.Transformer.

    Raises CaffeError if that input is not (N, C, H, W).
    """
    shapes = {name: net.blobs[name].shape for name in net.inputs[:1]}
    if not shapes or len(shapes[net.inputs[0]]) != 4:
        raise CaffeError(
            f'net "{net.name}": expected an input (N, C, H, W) for images, got {shapes or "none"}'
        )
    name = net.inputs[0]
    transformer = io.Transformer(shapes)
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


class Classifier(Net):
    """A net for images, with its preprocessing: pycaffe's `Classifier`.

    image_dims: (height, width) that images are resized to before the net's (H, W) is cropped out of
    them; by default that very size. mean, input_scale, raw_scale, channel_swap: of io.Transformer.
    Raises CaffeError if image_dims are smaller than the net's input.
    """

    def __init__(
        self,
        model_file: str | os.PathLike,
        pretrained_file: str | os.PathLike | None,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = np.array(self.crop_dims if image_dims is None else image_dims)
        if (self.image_dims < self.crop_dims).any():
            raise CaffeError(
                f"image_dims: expected at least the net's {tuple(self.crop_dims.tolist())}, "
                f"got {tuple(self.image_dims.tolist())}"
            )

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """What the net's first output says about images (H, W, K): one row for each.

        oversample: the mean over ten crops (corners and centre, also mirrored), as (N, classes);
        else of the centre alone, in the output's shape.
        """
        images = [io.resize_image(image, self.image_dims) for image in inputs]
        if oversample:
            crops = list(io.oversample(images, self.crop_dims))
        else:
            top, left = (self.image_dims - self.crop_dims) // 2
            rows, cols = self.crop_dims
            crops = [image[top : top + rows, left : left + cols] for image in images]
        name = self.inputs[0]
        batch = np.array([self.transformer.preprocess(name, crop) for crop in crops])
        predictions = self.forward_all(**{name: batch})[self.outputs[0]]
        return predictions.reshape(len(inputs), 10, -1).mean(1) if oversample else predictions
