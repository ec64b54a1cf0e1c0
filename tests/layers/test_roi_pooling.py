"""ROIPooling: golden values, hand value, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text, replay_golden
from tests.ops.samples import SHAPES, roi_case

LAYER = 'name:"l" type:"ROIPooling" bottom:"x" bottom:"rois" top:"y" roi_pooling_param{%s}'
INPUTS = (
    'layer{name:"in" type:"Input" top:"x" top:"rois" '
    "input_param{shape{dim:2 dim:3 dim:7 dim:5} shape{dim:4 dim:6}}}"
)
CPU = torch.device("cpu")


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/roi_pool_score")


def test_hand_value():
    # Halved, the corners 2, 3, 7, 6 are 1, 2, 4 (3.5 rounds up), 3: four columns and two rows.
    layer = make_layer(
        LAYER % "pooled_h:1 pooled_w:2 spatial_scale:0.5 score_scale:10 score_bias:1",
        (1, 1, 4, 6),
        (2, 6),
    )
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    rois = torch.tensor([[0.0, 2, 3, 7, 6, 0.2], [0, 40, 3, 50, 6, 0.2]])
    (y,) = layer.run(x, rois, device=CPU)
    np.testing.assert_allclose(y.numpy(), [[[[60, 66]]], [[[0, 0]]]])  # 20, 22 times 3; outside: 0


def test_without_score_the_factor_is_one():
    layer = make_layer(LAYER % "pooled_h:1 pooled_w:1 score_scale:5", (1, 1, 2, 3), (1, 5))
    (y,) = layer.run(torch.arange(6.0).reshape(1, 1, 2, 3), torch.zeros(1, 5), device=CPU)
    assert y.item() == 0
    (y,) = layer.run(torch.full((1, 1, 2, 3), 7.0), torch.zeros(1, 5), device=CPU)
    assert y.item() == 7


def test_gradient():
    _, rois, (bins_h, bins_w), scale = roi_case(SHAPES[0])
    param = f"pooled_h:{bins_h} pooled_w:{bins_w} spatial_scale:{scale} score_bias:0.5"
    maps = np.random.default_rng(0).standard_normal((2, 3, 12, 10))
    layer = make_layer(LAYER % param, maps.shape, tuple(rois.shape))
    check_gradient(layer, maps, rois.numpy(), wrt=(0,))


def test_names_layer_and_row_of_an_impossible_box(tmp_path):
    text = INPUTS + "layer{" + LAYER % "pooled_h:2 pooled_w:3" + "}"
    net = net_from_text(tmp_path, text)
    assert net.blobs["y"].shape == (4, 3, 2, 3)
    net.blobs["rois"].data[3, 0] = 2
    with pytest.raises(caffe.CaffeError, match=r'"l" \(ROIPooling\): rois row 3: .*0 to 1'):
        net.forward()


@pytest.mark.parametrize(
    ("param", "text"),
    [
        ("pooled_h:2", "pooled_w >= 1"),
        ("pooled_h:2 pooled_w:3 spatial_scale:0", "spatial_scale > 0"),
    ],
)
def test_names_a_parameter_that_cannot_work(tmp_path, param, text):
    with pytest.raises(caffe.CaffeError, match=rf'"l" \(ROIPooling\): .*{text}'):
        net_from_text(tmp_path, INPUTS + "layer{" + LAYER % param + "}")


def test_names_a_wrong_number_of_columns(tmp_path):
    text = INPUTS.replace("dim:4 dim:6", "dim:4 dim:4") + "layer{" + LAYER + "}"
    with pytest.raises(caffe.CaffeError, match=r'"l" \(ROIPooling\): .*\(R, 5\) or \(R, 6\)'):
        net_from_text(tmp_path, text % "pooled_h:2 pooled_w:3")
