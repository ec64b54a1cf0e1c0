"""Image files: channels, sizes, errors."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.data import image

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 7, 3), np.uint8)


def test_reads_blue_green_red_or_gray(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS)
    np.testing.assert_array_equal(image.read(tmp_path / "a.png"), PIXELS)
    gray = image.read(tmp_path / "a.png", color=False)
    want = PIXELS @ np.array([0.114, 0.587, 0.299])
    np.testing.assert_allclose(gray[:, :, 0], want, atol=1)


def test_resize_is_bilinear_between_pixel_centres():
    ramp = np.array([[0, 100]], np.uint8)[:, :, None]
    np.testing.assert_array_equal(image.resize(ramp, 1, 4)[0, :, 0], [0, 25, 75, 100])
    assert image.resize(PIXELS, 5, 3).shape == (5, 3, 3)
    assert image.resize(PIXELS[:, :, :1], 5, 3).shape == (5, 3, 1)


def test_names_files_that_are_no_images(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"none.png: cannot read: No such file"):
        image.read(tmp_path / "none.png")
    (tmp_path / "text.png").write_bytes(b"no image")
    with pytest.raises(caffe.CaffeError, match=r"text.png: expected an image file, got 8 bytes"):
        image.read(tmp_path / "text.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(caffe.CaffeError, match=r"empty.png: expected an image file, got 0 bytes"):
        image.read(tmp_path / "empty.png")
    cv2.imwrite(str(tmp_path / "deep.png"), PIXELS.astype(np.uint16))
    with pytest.raises(caffe.CaffeError, match=r"deep.png: .*8 bits per channel, got uint16"):
        image.read(tmp_path / "deep.png", color=None)
