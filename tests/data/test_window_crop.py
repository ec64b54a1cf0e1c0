"""Windows in crops: by hand, and against the pixels' own coordinates; errors."""

import numpy as np
import pytest

import caffe
from caffe.data.window_crop import Span, spans


def test_without_context_a_window_fills_the_crop():
    rows, columns = spans((1, 2, 3, 6), (7, 5), 4, 0, False)
    assert rows == Span(2, 6, 4, 0, 0)
    assert columns == Span(1, 3, 4, 0, 0)


def test_context_around_a_window():
    # 20 of 40 pixels are the window of 11 x 21: the rest is 5.5 and 10.5 on each side of it.
    rows, columns = spans((30, 30, 40, 50), (100, 100), 40, 10, False)
    assert columns == Span(25, 47, 40, 0, 0)  # 35.5 -+ 11 = 24.5 and 46.5, halves away from zero
    assert rows == Span(20, 62, 40, 0, 0)  # 40.5 -+ 21 = 19.5 and 61.5


def test_what_lies_outside_of_the_image_is_left_free():
    # Columns 2 -+ 4 * 2 = -6..10 of 5: 6 in front, 6 behind, 5 of 17 in between, times 16 / 17.
    rows, columns = spans((0, 10, 3, 17), (100, 5), 16, 4, True)
    assert columns == Span(0, 4, 5, 6, 6)
    assert rows == Span(6, 22, 16, 0, 0)  # a square: 14 -+ 4 * 2, not 14 -+ 8


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("pad", [0, 3])
def test_the_crop_maps_its_pixels_linearly_onto_the_grown_window(square, pad):
    rng, size = np.random.default_rng(0), 32
    for _ in range(50):
        x1, y1 = rng.integers(0, 40, 2).tolist()
        x2, y2 = x1 + int(rng.integers(1, 20)), y1 + int(rng.integers(1, 20))
        rows, columns = spans((x1, y1, x2, y2), (60, 60), size, pad, square)
        length = [y2 - y1 + 1, x2 - x1 + 1]
        length = [max(length)] * 2 if square else length
        for span, whole, middle in zip(
            (rows, columns), length, ((y1 + y2 + 1) / 2, (x1 + x2 + 1) / 2), strict=True
        ):
            inside = (span.low + span.high + 1) / 2
            pixels = whole * size / (size - 2 * pad)  # of the image in the whole crop
            at = size / 2 + (inside - middle) / pixels * size
            assert abs(span.before + span.extent / 2 - at) <= 2 + size / pixels
            wide = (span.high - span.low + 1) / (pixels + (pad > 0 or square)) * size
            assert abs(span.extent - wide) <= 1 + size / pixels
            assert abs(span.before + span.extent + span.after - size) <= 2


@pytest.mark.parametrize(
    ("box", "pad", "message"),
    [
        ((3, 0, 2, 5), 0, r"expected x1 <= x2 and y1 <= y2, got \(3, 0, 2, 5\)"),
        ((0, 0, 5, 3), 0, r"a window inside of 5 x 7 pixels, got \(0, 0, 5, 3\)"),
        ((0, -1, 3, 3), 0, r"inside of 5 x 7 pixels, got \(0, -1, 3, 3\)"),
        ((50, 0, 60, 3), 2, r"expected a window inside of the image, 0..4"),
    ],
)
def test_names_windows_outside_of_the_image(box, pad, message):
    with pytest.raises(caffe.CaffeError, match=message):
        spans(box, (7, 5), 16, pad, False)
