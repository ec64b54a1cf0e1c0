"""Detector: windows, their context, and Selective Search, against an independent computation."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.detector import selective_search

DEPLOY = """
name: "means"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 9 dim: 9 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "mean" top: "out" }
"""
SETTINGS = {"mean": np.array([1.0, 2.0, 4.0]), "raw_scale": 255, "channel_swap": (2, 1, 0)}
RNG = np.random.default_rng(7)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(DEPLOY, encoding="utf-8")
    return str(path)


@pytest.fixture
def image_file(tmp_path):
    def write(pixels, name="image.png"):
        assert cv2.imwrite(str(tmp_path / name), pixels)
        return str(tmp_path / name)

    return write


def with_context(im, window, pad, size, mean):
    """R-CNN's crop, number by number, for a square net."""
    top, left, bottom, right = (float(side) for side in window)
    grow = size / (size - 2.0 * pad)
    half_h, half_w = (bottom - top + 1) / 2, (right - left + 1) / 2
    y, x = top + half_h, left + half_w
    y1, x1 = round(y - grow * half_h), round(x - grow * half_w)
    y2, x2 = round(y + grow * half_h), round(x + grow * half_w)
    per_row, per_col = size / (y2 - y1 + 1), size / (x2 - x1 + 1)
    out_y, out_x = round(max(0, -y1) * per_row), round(max(0, -x1) * per_col)
    y1, x1 = max(y1, 0), max(x1, 0)
    y2, x2 = min(y2, im.shape[0]), min(x2, im.shape[1])
    rows = min(round((y2 - y1 + 1) * per_row), size - out_y)
    cols = min(round((x2 - x1 + 1) * per_col), size - out_x)
    out = np.tile(np.float32(mean), (size, size, 1))
    inside = caffe.io.resize_image(im[y1:y2, x1:x2], (rows, cols))
    out[out_y : out_y + rows, out_x : out_x + cols] = inside
    return out


def test_detect_windows(model, image_file):
    pixels = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    first, second = image_file(pixels), image_file(pixels[::-1], "other.png")
    windows = [np.array([2, 3, 11, 12]), np.array([0, 20, 20, 30])]
    net = caffe.Detector(model, None, **SETTINGS)
    # Pairs as R-CNN's script makes them, which can be gone through only once.
    found = net.detect_windows(zip([first, second], [windows, windows[:1]], strict=True))
    assert [item["filename"] for item in found] == [first, first, second]
    assert [item["window"] is window for item, window in zip(found[:2], windows, strict=True)]
    expected = pixels[2:11, 3:12].mean(axis=(0, 1)) - SETTINGS["mean"]  # blue, green, red
    assert np.allclose(found[0]["prediction"], expected, atol=1e-3)
    resized = caffe.io.resize_image(caffe.io.load_image(first)[:, 20:], (9, 9)) * 255
    expected = resized[:, :, ::-1].mean(axis=(0, 1)) - SETTINGS["mean"]
    assert np.allclose(found[1]["prediction"], expected, atol=1e-3)
    assert net.detect_windows([(first, [])]) == []


def test_crops_with_context(model):
    net = caffe.Detector(model, None, context_pad=2, **SETTINGS)
    im = RNG.random((20, 30, 3)).astype(np.float32)
    mean = np.array([4.0, 2.0, 1.0]) / 255  # red, green, blue in 0..1
    windows = [(8, 10, 14, 19), (0, 0, 20, 30), (0, 25, 4, 30), (17, 2, 20, 4), (5, 0, 6, 30)]
    for window in windows:
        got = net.crop(im, np.array(window))
        assert (got.shape, got.dtype) == ((9, 9, 3), np.float32)
        assert np.allclose(got, with_context(im, window, 2, 9, mean), atol=1e-6), window


def test_context_can_be_changed(model):
    net = caffe.Detector(model, None)
    im = RNG.random((20, 30, 3)).astype(np.float32)
    assert np.array_equal(net.crop(im, [2, 3, 5, 9]), im[2:5, 3:9])
    net.configure_crop(3)
    assert net.context_pad == 3
    want = with_context(im, (2, 3, 5, 9), 3, 9, (0, 0, 0))
    assert np.allclose(net.crop(im, [2, 3, 5, 9]), want, atol=1e-6)


def test_a_mean_of_pixels_fills_what_is_outside(model):
    mean = RNG.random((3, 9, 9)) * 255
    net = caffe.Detector(model, None, mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    got = net.crop(np.zeros((5, 5, 3), np.float32), [0, 0, 5, 5])
    assert np.allclose(got[0], mean.transpose(1, 2, 0)[0, :, ::-1] / 255, atol=1e-6)


def test_selective_search_finds_the_object(model, image_file):
    """A red box, rows 15 to 44 and columns 40 to 109, on grey, with some noise."""
    im = np.full((60, 160, 3), 0.5)
    im[15:45, 40:110] = (1, 0.2, 0)
    im = (im + RNG.normal(0, 0.01, im.shape)).clip(0, 1)
    path = image_file((im[:, :, ::-1] * 255).round().astype(np.uint8))
    boxes = selective_search(caffe.io.load_image(path))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (60, 160)).all()
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 20 * 160 // 500
    assert np.abs(boxes - (15, 40, 45, 110)).max(axis=1).min() <= 2
    net = caffe.Detector(model, None, raw_scale=255, channel_swap=(2, 1, 0))
    found = net.detect_selective_search(iter([path]))
    assert {item["filename"] for item in found} == {path}
    assert np.array_equal([item["window"] for item in found], boxes)
    redness = [item["prediction"][2] - item["prediction"][0] for item in found]
    top, left, bottom, right = found[int(np.argmax(redness))]["window"]
    assert min(top - 13, left - 38, 47 - bottom, 112 - right) >= 0


def test_mistakes(model):
    net = caffe.Detector(model, None)
    im = np.zeros((20, 30, 3), np.float32)
    for window in ([5, 3, 5, 9], [25, 3, 29, 9], [3, 9, 8, 2]):
        with pytest.raises(caffe.CaffeError, match=r"^window \(.*\): expected ymin, .* \(20, 30\)"):
            net.crop(im, window)
    net.configure_crop(2)
    with pytest.raises(caffe.CaffeError, match=r"^window \(40, 3, 49, 9\): expected ymin"):
        net.crop(im, np.array([40, 3, 49, 9]))
    with pytest.raises(caffe.CaffeError, match=r"context_pad: .* net's \(9, 9\), got 5"):
        caffe.Detector(model, None, context_pad=5)
