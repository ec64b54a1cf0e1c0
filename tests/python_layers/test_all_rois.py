"""AllRoIs: real boxes only, in order, in both frames; errors."""

import numpy as np
import pytest

from python_layers.array_file import DataError
from tests.layer_checks import net_from_text

IMAGES, BOXES = 2, 3
NET = (
    'layer{name:"in" type:"Input" top:"rois" top:"mask" top:"data" top:"small" '
    "input_param{shape{dim:%d dim:6} shape{dim:2 dim:3} shape{dim:2 dim:3 dim:40 dim:60} "
    "shape{dim:2 dim:3 dim:20 dim:15}}}"
    'layer{name:"l" type:"Python" bottom:"rois" bottom:"mask" bottom:"data" bottom:"small" '
    'top:"teacher" %spython_param{module:"python_layers.all_rois" layer:"AllRoIs"}}'
)


def rois_net(tmp_path, rows=IMAGES * BOXES, second='top:"student" '):
    return net_from_text(tmp_path, NET % (rows, second))


def fill(net, mask):
    rois = net.blobs["rois"].data
    rois[:, 0] = np.repeat(np.arange(IMAGES), BOXES)
    rois[:, 1:5] = [[0, 0, 59, 39], [20, 10, 39, 19], [4, 2, 4, 2]] * IMAGES
    rois[:, 5] = [0.5, 0.25, 3, 0.125, 2, 7]
    net.blobs["mask"].data[...] = mask


def test_hand_value(tmp_path):
    net = rois_net(tmp_path)
    fill(net, [[0, 0, -1e4], [-1e4, 0, 0]])
    net.forward()
    teacher, student = net.blobs["teacher"].data, net.blobs["student"].data
    want = [[0, 0, 0, 59, 39, 0.5], [0, 20, 10, 39, 19, 0.25]]
    want += [[1, 20, 10, 39, 19, 2], [1, 4, 2, 4, 2, 7]]
    np.testing.assert_array_equal(teacher, want)
    # A quarter as wide, half as high; a box thinner than a pixel keeps its first corner.
    corners = [[0, 0, 14, 19], [5, 5, 9, 9], [5, 5, 9, 9], [1, 1, 1, 1]]
    np.testing.assert_array_equal(student[:, 1:5], corners)
    np.testing.assert_array_equal(student[:, [0, 5]], teacher[:, [0, 5]])
    fill(net, 0)
    net.forward()
    assert net.blobs["student"].shape == (6, 6)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(Exception, match="expected 4 bottoms, 2 tops, got 4, 1"):
        rois_net(tmp_path, second="")
    with pytest.raises(Exception, match=r"rois \(N\*B, 6\), roi_mask \(N, B\), got \(5, 6\), \(2"):
        rois_net(tmp_path, rows=5)
    net = rois_net(tmp_path)
    fill(net, -1e4)
    with pytest.raises(DataError, match="expected 0 for at least one row, got none"):
        net.forward()
    fill(net, 0)
    net.blobs["rois"].data[4, 0] = 2
    with pytest.raises(ValueError, match="row 4"):
        net.forward()
