"""The numpy twin of ROIPooling: the native layer's numbers, and its own errors."""

import numpy as np
import pytest

from python_layers.roi_pooling import pool
from tests.ops.samples import SHAPES, roi_case
from tests.python_layers.twin_checks import compare_with_native, python_net


@pytest.mark.parametrize("columns", [5, 6])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_native_layer(tmp_path, shape, columns):
    maps, rois, (bins_h, bins_w), scale = roi_case(shape, seed=columns)
    options = {"pooled_h": bins_h, "pooled_w": bins_w, "spatial_scale": scale}
    options |= {"score_scale": 10, "score_bias": 1}
    param = " ".join(f"{name}:{value}" for name, value in options.items())
    bottoms = {"x": maps.numpy(), "rois": rois.numpy()[:, :columns]}
    param = f"roi_pooling_param{{{param}}}"
    compare_with_native(tmp_path, bottoms, "roi_pooling", "ROIPooling", options, param)


def test_defaults_are_those_of_the_prototxt(tmp_path):
    maps, rois, _, _ = roi_case(SHAPES[4])
    compare_with_native(
        tmp_path,
        {"x": maps.numpy(), "rois": rois.numpy()},
        "roi_pooling",
        "ROIPooling",
        {"pooled_h": 2, "pooled_w": 3},
        "roi_pooling_param{pooled_h:2 pooled_w:3}",
    )


def test_hand_value_and_place():
    maps = np.array([[[[0, 7, 7], [9, 0, 7]]]], np.float32)
    rois = np.array([[0, 0, 0, 2, 1], [0, 1, 0, 2, 1], [0, 5, 5, 9, 9]], np.float32)
    top, place = pool(maps, rois, 1.0, 1, 1)
    assert top.ravel().tolist() == [9, 7, 0]
    assert place.ravel().tolist() == [3, 1, -1]


@pytest.mark.parametrize(
    ("bad", "text"), [(np.nan, "finite"), (2.0, "of 2 images"), (0.5, "of 2 images")]
)
def test_names_the_row_of_an_impossible_box(tmp_path, bad, text):
    bottoms = {"x": np.zeros((2, 3, 7, 5)), "rois": np.zeros((4, 6))}
    bottoms["rois"][3, 0] = bad
    options = {"pooled_h": 2, "pooled_w": 3}
    net = python_net(tmp_path, bottoms, "roi_pooling", "ROIPooling", options)
    with pytest.raises(ValueError, match=f"rois row 3: .*{text}"):
        net.forward()


def test_names_a_missing_option(tmp_path):
    bottoms = {"x": np.zeros((2, 3, 7, 5)), "rois": np.zeros((4, 6))}
    with pytest.raises(ValueError, match="ROIPooling: param_str: pooled_w: expected a value"):
        python_net(tmp_path, bottoms, "roi_pooling", "ROIPooling", {"pooled_h": 2})
