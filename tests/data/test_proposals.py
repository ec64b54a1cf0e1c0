"""The proposals' scores against direct sums over pixels, and both methods on a plain scene."""

import cv2
import numpy as np
import proposals
import pytest

from python_layers.boxes import overlaps
from tests.prepared_sets import random_boxes


@pytest.fixture(scope="module")
def scene():
    """(93, 121, 3): textured ground, two objects; and their boxes."""
    rng = np.random.default_rng(1)
    image = rng.integers(90, 110, (93, 121, 3), dtype=np.uint8)
    image[20:51, 15:60] = (40, 60, 200)
    cv2.circle(image, (90, 60), 18, (200, 180, 30), -1)
    return cv2.GaussianBlur(image, (3, 3), 0), np.array([[15, 20, 59, 50], [72, 42, 108, 78]])


@pytest.mark.parametrize("method", [proposals.selective_search, proposals.edge_boxes])
def test_objects_are_found_from_pixels_best_first(scene, method):
    image, truth = scene
    boxes = method(image, 12)
    assert boxes.dtype == np.float32
    assert 2 <= len(boxes) <= 12
    assert overlaps(truth, boxes[:4]).max(axis=1).min() > 0.75
    assert (np.diff(boxes[:, 4]) <= 0).all()
    assert boxes[:, 4].min() >= 0
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:4] <= [120, 92]).all()
    np.testing.assert_array_equal(method(image, 12), boxes)


def test_nothing_but_the_image_in_a_flat_image():
    flat = np.full((40, 50, 3), 120, np.uint8)
    boxes = proposals.selective_search(flat, 5)
    assert len(boxes) <= 1
    assert len(proposals.edge_boxes(flat, 5)) == 0


def test_contrast_is_the_distance_of_mean_colours(scene):
    image, _ = scene
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2Lab).astype(np.float64)
    boxes = random_boxes(np.random.default_rng(2), 9, 121, 93)[:, :4].astype(np.int64)
    boxes[0] = [0, 0, 120, 92]
    for box, value in zip(boxes, proposals.contrast(image, boxes), strict=True):
        x1, y1, x2, y2 = box
        dx, dy = (x2 - x1 + 1) / 4, (y2 - y1 + 1) / 4
        ring = np.zeros(image.shape[:2], bool)
        left, top = max(int(x1 - dx), 0), max(int(y1 - dy), 0)
        ring[top : int(y2 + dy) + 1, left : int(x2 + dx) + 1] = True
        ring[y1 : y2 + 1, x1 : x2 + 1] = False
        inside = lab[y1 : y2 + 1, x1 : x2 + 1].mean(axis=(0, 1))
        wanted = np.linalg.norm(inside - lab[ring].mean(axis=0)) / 60 if ring.any() else 0
        assert value == pytest.approx(min(wanted, 1), abs=1e-9)


def test_the_weakest_side_decides_and_a_border_costs_a_quarter():
    image = np.full((60, 80, 3), 128, np.uint8)
    image[10:40, 20:60] = 255  # a hard edge on each side
    strength = proposals.side_strength(image, np.array([[20, 10, 59, 39], [20, 10, 49, 39]]))
    assert strength[0] > 0.3
    assert strength[1] == 0  # its right side lies in the plain
    image[10:40, :20] = 255
    at_border = proposals.side_strength(image, np.array([[0, 10, 59, 39], [0, 0, 79, 59]]))
    assert at_border[0] == pytest.approx(0.75 * strength[0], rel=0.05)
    assert at_border[1] == 0


def test_suppression_keeps_the_best_of_near_duplicates():
    boxes = np.array([[0, 0, 9, 19], [0, 0, 9, 18], [0, 0, 9, 9], [30, 5, 50, 9]])
    scores = np.array([0.4, 0.5, 0.1, 0.3])
    kept = proposals.best_first(boxes, scores, overlaps(boxes, boxes), 3)
    wanted = [[0, 0, 9, 18, 0.5], [30, 5, 50, 9, 0.3], [0, 0, 9, 9, 0.1]]
    np.testing.assert_allclose(kept, wanted, rtol=1e-6)
    assert len(proposals.best_first(boxes, scores, overlaps(boxes, boxes), 2)) == 2
