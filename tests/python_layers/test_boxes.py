"""Box arithmetic in inclusive corners, against pixels and against sets of pixels."""

import cv2
import numpy as np
import pytest

from python_layers.array_file import DataError
from python_layers.boxes import check_boxes, mirror_boxes, overlaps, scale_boxes
from tests.prepared_sets import random_boxes


def painted(box, width, height):
    mask = np.zeros((height, width), np.uint8)
    x1, y1, x2, y2 = (int(value) for value in box[:4])
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    return mask


def found(mask):
    y, x = np.nonzero(mask)
    return [x.min(), y.min(), x.max(), y.max()]


def test_mirrored_boxes_are_the_boxes_of_the_mirrored_pixels():
    boxes = random_boxes(np.random.default_rng(0), 30, 37, 22)
    for before, after in zip(boxes, mirror_boxes(boxes, 37), strict=True):
        np.testing.assert_array_equal(after[:4], found(painted(before, 37, 22)[:, ::-1]))
        assert after[4] == before[4]
    np.testing.assert_array_equal(mirror_boxes(mirror_boxes(boxes, 37), 37), boxes)


def test_enlarged_boxes_are_the_boxes_of_the_enlarged_pixels():
    boxes = random_boxes(np.random.default_rng(1), 30, 17, 26)
    for before, after in zip(boxes, scale_boxes(boxes, (17, 26), (51, 130)), strict=True):
        big = cv2.resize(painted(before, 17, 26), (51, 130), interpolation=cv2.INTER_NEAREST)
        np.testing.assert_allclose(after[:4], found(big), atol=1e-4)
        assert after[4] == before[4]


def test_scaling_by_hand_keeps_the_whole_image_and_thin_boxes():
    boxes = np.array([[0, 0, 9, 19, 1], [4, 6, 7, 11, 0.5], [3, 3, 3, 3, 0.2]], np.float32)
    wanted = [[0, 0, 4, 59, 1], [2, 18, 3, 35, 0.5], [1.5, 9, 1.5, 11, 0.2]]
    np.testing.assert_allclose(scale_boxes(boxes, (10, 20), (5, 60)), wanted, rtol=1e-6)


def test_scaling_down_to_another_frame_and_back_is_exact_to_rounding():
    boxes = random_boxes(np.random.default_rng(2), 30, 333, 500)
    there = scale_boxes(boxes, (333, 500), (672, 672))
    check_boxes(there, 672, 672, "there")
    np.testing.assert_allclose(scale_boxes(there, (672, 672), (333, 500)), boxes, atol=1e-3)


def test_overlaps_count_pixels():
    rng = np.random.default_rng(3)
    some, others = random_boxes(rng, 6, 19, 23), random_boxes(rng, 4, 19, 23)
    iou = overlaps(some, others)
    assert iou.shape == (6, 4)
    for i, box in enumerate(some):
        for j, other in enumerate(others):
            a, b = painted(box, 19, 23), painted(other, 19, 23)
            assert iou[i, j] == pytest.approx((a & b).sum() / (a | b).sum(), rel=1e-6)


@pytest.mark.parametrize(
    "bad",
    [[5, 2, 4, 3, 0], [1, 9, 4, 3, 0], [-1, 2, 4, 3, 0], [1, 2, 20, 3, 0], [1, 2, 4, 30, 0],
     [1, 2, 4, 3, np.nan], [np.inf, 2, 4, 3, 0]],
)  # fmt: skip
def test_bad_boxes_are_named(bad):
    boxes = np.array([[0, 0, 19, 29, 0.5], bad], np.float32)
    check_boxes(boxes[:1], 20, 30, "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg: box 2: expected 0 <= x1 <= x2 <= 19, 0 <= y1"):
        check_boxes(boxes, 20, 30, "a.jpg")
