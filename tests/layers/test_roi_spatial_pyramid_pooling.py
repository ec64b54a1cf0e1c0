"""ROISpatialPyramidPooling: hand value, equality with ROIPooling, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text
from tests.ops.samples import SHAPES, roi_case

LAYER = (
    'name:"l" type:"ROISpatialPyramidPooling" bottom:"x" bottom:"rois" top:"y" '
    "roi_spatial_pyramid_pooling_param{%s}"
)
CPU = torch.device("cpu")


def test_hand_value():
    layer = make_layer(LAYER % "bins:1 bins:2", (1, 2, 2, 3), (1, 6))
    x = torch.arange(12.0).reshape(1, 2, 2, 3)
    (y,) = layer.run(x, torch.tensor([[0.0, 0, 0, 2, 1, 2]]), device=CPU)
    # The middle column belongs to both bins of a row: 1.5 pixels each, widened to whole ones.
    want = [[5, 11, 1, 2, 4, 5, 7, 8, 10, 11]]
    np.testing.assert_allclose(y.numpy(), 2 * np.array(want))


def test_a_single_level_is_roi_pooling_flattened():
    maps, rois, _, scale = roi_case(SHAPES[2])
    factor = f"spatial_scale:{scale} score_scale:10 score_bias:1"
    shapes = tuple(maps.shape), tuple(rois.shape)
    pyramid = make_layer(LAYER % f"bins:7 {factor}", *shapes)
    flat = make_layer(
        'name:"l" type:"ROIPooling" bottom:"x" bottom:"rois" top:"y" '
        f"roi_pooling_param{{pooled_h:7 pooled_w:7 {factor}}}",
        *shapes,
    )
    (got,), (want,) = (layer.run(maps, rois, device=CPU) for layer in (pyramid, flat))
    assert torch.equal(got, want.flatten(1))


def test_gradient():
    _, rois, _, scale = roi_case(SHAPES[0])
    maps = np.random.default_rng(0).standard_normal((2, 3, 12, 10))
    param = f"bins:3 bins:1 bins:4 spatial_scale:{scale} score_bias:0.5"
    layer = make_layer(LAYER % param, maps.shape, tuple(rois.shape))
    assert layer.top_shapes(maps.shape, tuple(rois.shape)) == [(5, 3 * (9 + 1 + 16))]
    check_gradient(layer, maps, rois.numpy(), wrt=(0,))


def test_names_layer_and_row_of_an_impossible_box(tmp_path):
    text = (
        'layer{name:"in" type:"Input" top:"x" top:"rois" '
        "input_param{shape{dim:2 dim:3 dim:7 dim:5} shape{dim:4 dim:6}}}layer{" + LAYER + "}"
    )
    net = net_from_text(tmp_path, text % "bins:2")
    net.blobs["rois"].data[1, 3] = np.nan
    with pytest.raises(caffe.CaffeError, match=r'"l" \(ROISpatial.*\): rois row 1: .*finite'):
        net.forward()
    with pytest.raises(caffe.CaffeError, match=r'"l" \(ROISpatial.*\): .*at least one bins'):
        net_from_text(tmp_path, text % "")
