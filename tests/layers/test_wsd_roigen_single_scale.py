"""WsdRoigenSingleScale: hand value, golden values, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, replay_golden

TEXT = 'name:"l" type:"WsdRoigenSingleScale" bottom:"boxes" top:"rois" roi_pooling_param{%s}'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/wsd_roigen_single_scale")


def test_hand_value_cuts_corners_but_not_scores():
    layer = make_layer(TEXT % "single_scale:90 origin_scale:100", (2, 5))
    boxes = torch.tensor([[10.0, 11, 99, 50, 0.55], [0, 1, 2, 3.4, 7]])
    (rois,) = layer.run(boxes, device=torch.device("cpu"))
    want = [[0, 9, 9, 89, 45, 0.55], [1, 0, 0, 1, 3, 7]]
    np.testing.assert_array_equal(rois, np.float32(want))


def test_the_paper_s_sizes_are_the_default():
    boxes = torch.arange(672.0).reshape(-1, 1).repeat(1, 5)
    (rois,) = make_layer(TEXT % "", (672, 5)).run(boxes, device=torch.device("cpu"))
    np.testing.assert_array_equal(rois[:, 1], np.arange(672) // 3)


def test_names_what_does_not_fit():
    with pytest.raises(caffe.CaffeError, match=r'"l".*got rows of 7'):
        make_layer(TEXT % "", (2, 7)).top_shapes((2, 7))
    with pytest.raises(caffe.CaffeError, match="origin_scale of at least 1"):
        make_layer(TEXT % "origin_scale:0", (2, 5))
