"""Datum messages: raw bytes, floats, encoded images; errors."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.data import datum
from caffe.proto.caffe_pb2 import Datum

RAW = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)


def test_raw_bytes_and_floats_come_out_channels_last():
    sizes = {"channels": 2, "height": 3, "width": 5}
    for message, dtype in (
        (Datum(data=RAW.tobytes(), label=7, **sizes), np.uint8),
        (Datum(float_data=RAW.reshape(-1).tolist(), label=7, **sizes), np.float32),
    ):
        image, label = datum.read(message.SerializeToString(), None)
        assert (label, image.dtype) == (7, dtype)
        np.testing.assert_array_equal(image, RAW.transpose(1, 2, 0))


@pytest.mark.parametrize(("color", "channels"), [(None, 1), (True, 3), (False, 1)])
def test_encoded_images_get_the_channels_asked_for(color, channels):
    _, content = cv2.imencode(".png", RAW[0])
    message = Datum(data=content.tobytes(), encoded=True)
    image, _ = datum.read(message.SerializeToString(), color)
    np.testing.assert_array_equal(image, np.repeat(RAW[0][:, :, None], channels, axis=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xff", "expected a Datum, got 2 bytes that do not parse"),
        (b"", r"\(0, 0, 0\), got 0 numbers"),
        (
            Datum(channels=2, height=3, width=5, data=b"abc").SerializeToString(),
            r"image \(C, H, W\) \(2, 3, 5\), got 3 numbers",
        ),
        (
            Datum(channels=2**30, height=2**30, width=2**30, data=b"abc").SerializeToString(),
            "got 3 numbers",
        ),
        (
            Datum(channels=-1, height=-1, width=3, data=b"abc").SerializeToString(),
            r"image \(C, H, W\) \(-1, -1, 3\), got 3 numbers",
        ),
        (Datum(data=b"abc", encoded=True).SerializeToString(), "an image file, got 3 bytes"),
    ],
)
def test_names_what_is_wrong(content, message):
    with pytest.raises(caffe.CaffeError, match=message):
        datum.read(content, None)
