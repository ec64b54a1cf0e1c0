"""WsdRoigen: hand value, golden values, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, replay_golden

TEXT = 'name:"l" type:"WsdRoigen" bottom:"boxes" top:"rois"'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/wsd_roigen")


def test_hand_value_keeps_fractions_and_scores():
    boxes = torch.tensor([[1.5, 2, 3, 4, 0.1, 5, 6, 7, 8, 0.2], [9, 8, 9, 9, 0.3, 0, 0, 0, 0, 0]])
    (rois,) = make_layer(TEXT, (2, 10)).run(boxes, device=torch.device("cpu"))
    want = [[0, 1.5, 2, 3, 4, 0.1], [0, 5, 6, 7, 8, 0.2], [1, 9, 8, 9, 9, 0.3], [1, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(rois, np.float32(want))


def test_takes_boxes_with_trailing_axes():
    assert make_layer(TEXT, (3, 10, 1, 1)).top_shapes((3, 10, 1, 1)) == [(6, 6)]


def test_names_rows_that_are_not_whole_boxes():
    with pytest.raises(caffe.CaffeError, match=r'"l".*5 numbers per box.*got rows of 12'):
        make_layer(TEXT, (2, 12)).top_shapes((2, 12))
