"""RoISelection: hand values, ties, padding, both frames, a real net, errors."""

import json

import numpy as np
import pytest

from python_layers.array_file import DataError
from python_layers.roi_selection import select
from tests.layer_checks import net_from_text

IMAGES, BOXES, CLASSES = 2, 5, 3
NET = (
    'layer{name:"in" type:"Input" top:"rois" top:"S" top:"mask" top:"data" top:"small" '
    "input_param{shape{dim:10 dim:6} shape{dim:10 dim:3} shape{dim:2 dim:5} "
    "shape{dim:2 dim:3 dim:40 dim:60} shape{dim:2 dim:3 dim:20 dim:15}}}"
    'layer{name:"l" type:"Python" bottom:"rois" bottom:"S" bottom:"mask" bottom:"data" '
    'bottom:"small" top:"teacher" top:"student" python_param{'
    'module:"python_layers.roi_selection" layer:"RoISelection" param_str:%s}}'
)
# Per image: A; B, which covers 2/3 of A's union with it; C apart from both; A again; padding.
CORNERS = [[0, 0, 29, 9], [0, 0, 19, 9], [40, 20, 59, 39], [0, 0, 29, 9], [0, 0, 0, 0]]


def selection_net(tmp_path, **options):
    net = net_from_text(tmp_path, NET % json.dumps(json.dumps(options)))
    rois = net.blobs["rois"].data
    rois[:, 0] = np.repeat(np.arange(IMAGES), BOXES)
    rois[:, 1:5] = CORNERS * IMAGES
    rois[:, 5] = 9  # the proposal's own score plays no part
    net.blobs["mask"].data[:, -1] = -1e4
    net.blobs["S"].data[...] = 0
    net.blobs["S"].data[:, 1] = [0.4, 0.8, 0.2, 0.4, 0.9, 0.1, 0.1, 0.05, 0.4, 0.9]
    net.blobs["S"].data[2, 2] = 0.1
    return net


def test_hand_value(tmp_path):
    net = selection_net(tmp_path)
    net.forward()
    # Image 0 keeps B and C, as A and its copy overlap B by 2/3; image 1 keeps A's copy and C.
    want = [
        [0, 0, 0, 19, 9, 1],
        [0, 40, 20, 59, 39, 0.25],
        [1, 0, 0, 29, 9, 1],
        [1, 40, 20, 59, 39, 0.125],
    ]
    np.testing.assert_allclose(net.blobs["teacher"].data, want, rtol=1e-6)
    # The student's image is a quarter as wide and half as high; a whole side stays a whole side.
    corners = [[0, 0, 4, 4], [10, 10, 14, 19], [0, 0, 6.5, 4], [10, 10, 14, 19]]
    student = net.blobs["student"].data
    np.testing.assert_allclose(student[:, 1:5], corners, rtol=1e-6)
    np.testing.assert_array_equal(student[:, [0, 5]], net.blobs["teacher"].data[:, [0, 5]])


def test_sum_over_classes_and_top(tmp_path):
    net = selection_net(tmp_path, objectness="sum", top=1, nms_iou=0.7)
    net.blobs["S"].data[2, 2] = 0.7
    net.forward()
    teacher = net.blobs["teacher"].data
    np.testing.assert_array_equal(teacher[:, [0, 1, 5]], [[0, 40, 1], [1, 0, 1]])


def test_of_equal_scores_the_lower_index_comes_first():
    boxes = np.array([[50, 0, 59, 9], [0, 0, 9, 9], [0, 0, 9, 9], [20, 0, 29, 9]], np.float32)
    assert select(boxes, np.array([1.0, 2, 2, 1]), 0.5, 9).tolist() == [1, 0, 3]
    apart = np.arange(60, dtype=np.float32)[:, None] * 10 + [0, 0, 9, 9]
    assert select(apart, np.arange(60) % 2, 0.5, 40).tolist() == [
        *range(1, 60, 2),
        *range(0, 20, 2),
    ]


def test_suppresses_only_beyond_the_threshold():
    boxes = np.array([[0, 0, 29, 9], [0, 0, 14, 9], [0, 0, 15, 9]], np.float32)
    assert select(boxes, np.array([3.0, 2, 1]), 0.5, 9).tolist() == [0, 1]


def test_an_image_without_real_boxes_is_taken_whole(tmp_path):
    net = selection_net(tmp_path)
    net.blobs["mask"].data[1] = -1e4
    net.forward()
    teacher, student = net.blobs["teacher"].data, net.blobs["student"].data
    np.testing.assert_array_equal(teacher[2:], [[1, 0, 0, 59, 39, 1]])
    np.testing.assert_array_equal(student[2:], [[1, 0, 0, 14, 19, 1]])


def test_scores_that_underflowed_weigh_the_same(tmp_path):
    net = selection_net(tmp_path)
    net.blobs["S"].data[...] = 0
    net.forward()
    np.testing.assert_array_equal(net.blobs["teacher"].data[:, 5], 1)


@pytest.mark.parametrize(
    ("blob", "place", "value", "text"),
    [
        ("S", (3, 1), np.nan, "S row 3"),
        ("rois", (7, 2), np.inf, "rois row 7"),
        ("rois", (4, 0), 1, "image after image"),
    ],
)
def test_names_what_cannot_be(tmp_path, blob, place, value, text):
    net = selection_net(tmp_path)
    net.blobs[blob].data[place] = value
    with pytest.raises(ValueError, match=text):
        net.forward()


@pytest.mark.parametrize(
    "options",
    [{"top": 0}, {"top": 2.5}, {"nms_iou": 2}, {"nms_iou": "1"}, {"objectness": "mean"}],
)
def test_names_options_that_cannot_work(tmp_path, options):
    with pytest.raises(DataError, match=r"nms_iou in 0\.\.1, an integer top >= 1, objectness"):
        selection_net(tmp_path, **options)


def test_names_an_unknown_option(tmp_path):
    with pytest.raises(DataError, match=r"RoISelection: param_str: topp: expected one of .*got 3"):
        selection_net(tmp_path, topp=3)


def test_names_shapes_that_do_not_fit(tmp_path):
    text = (NET % '""').replace("shape{dim:2 dim:5}", "shape{dim:2 dim:4}")
    with pytest.raises(ValueError, match=r"roi_mask \(N, B\), got \(10, 6\), \(10, 3\), \(2, 4\)"):
        net_from_text(tmp_path, text)
