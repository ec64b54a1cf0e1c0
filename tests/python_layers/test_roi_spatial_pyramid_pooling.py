"""The numpy twin of ROISpatialPyramidPooling: the native layer's numbers."""

import pytest

from tests.ops.samples import SHAPES, roi_case
from tests.python_layers.twin_checks import compare_with_native


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_native_layer(tmp_path, shape):
    maps, rois, _, scale = roi_case(shape, seed=1)
    options = {"bins": [3, 1, 4], "spatial_scale": scale, "score_scale": 10, "score_bias": 1}
    compare_with_native(
        tmp_path,
        {"x": maps.numpy(), "rois": rois.numpy()},
        "roi_spatial_pyramid_pooling",
        "ROISpatialPyramidPooling",
        options,
        "roi_spatial_pyramid_pooling_param{bins:3 bins:1 bins:4 score_scale:10 score_bias:1 "
        f"spatial_scale:{scale}}}",
    )


def test_defaults_are_those_of_the_prototxt(tmp_path):
    maps, rois, _, _ = roi_case(SHAPES[4])
    compare_with_native(
        tmp_path,
        {"x": maps.numpy(), "rois": rois.numpy()},
        "roi_spatial_pyramid_pooling",
        "ROISpatialPyramidPooling",
        {"bins": [2]},
        "roi_spatial_pyramid_pooling_param{bins:2}",
    )
