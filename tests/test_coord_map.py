"""coord_map: maps of layers, their composition, and FCN's crop, against nets that are run."""

import numpy as np
import pytest

import caffe
from caffe import coord_map as cm
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import AxisMismatchException, UndefinedMapException, coord_map_from_to, crop
from tests.layer_checks import net_from_text


def spec(kernel=3, stride=1, pad=0, up=4, up_stride=2):
    """Convolution, 2x pooling and 2x deconvolution of an image."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 41, 37]})
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.deconv = L.Deconvolution(
        n.pool, convolution_param={"num_output": 1, "kernel_size": up, "stride": up_stride}
    )
    return n


def plain(coord_map):
    axis, scale, shift = coord_map
    return axis, np.asarray(scale).tolist(), np.asarray(shift).tolist()


def test_maps_of_layers_by_hand():
    data = L.Input(shape={"dim": [2, 3, 41, 37]})
    conv = L.Convolution(data, num_output=5, kernel_size=[3, 7], stride=2, pad=[1, 5], dilation=2)
    # Kernels reach over 5 and 13 pixels: (1 - 2) / 2 and (5 - 6) / 2.
    assert plain(cm.coord_map(conv.fn)) == (1, [0.5], [-0.5, -0.5])
    pool = L.Pooling(data, kernel_size=3, stride=2)
    assert plain(cm.coord_map(pool.fn)) == (1, [0.5], [-0.5])
    assert plain(cm.coord_map(L.Pooling(data, pooling_param={"kernel_size": 2}).fn))[2] == [-0.5]
    up = L.Deconvolution(data, convolution_param={"kernel_size": 4, "stride": 2, "pad": 1})
    assert plain(cm.coord_map(up.fn)) == (1, [2], [0.5])
    assert plain(cm.coord_map(L.Im2col(data, convolution_param={"kernel_size": 3}).fn))[2] == [-1]
    assert plain(cm.coord_map(L.ReLU(data).fn)) == (None, 1, 0)
    assert plain(cm.coord_map(L.Crop(data, pool, axis=3, offset=4).fn)) == (2, 1, [-4])
    assert plain(cm.coord_map(L.Crop(data, pool).fn)) == (1, 1, [0])


def test_params_with_their_defaults():
    data = L.Input(shape={"dim": [2, 3, 41, 37]})
    axis, stride, kernel, pad = cm.conv_params(
        L.Convolution(data, axis=2, kernel_size=[3, 5], dilation=2).fn
    )
    assert (axis, stride.tolist(), kernel.tolist(), pad.tolist()) == (2, [1], [5, 9], [0])
    axis, offset = cm.crop_params(L.Crop(data, data, crop_param={"axis": 1, "offset": [3, 4]}).fn)
    assert (axis, offset.tolist()) == (1, [3, 4])


def test_compose_and_inverse():
    first, second = (1, 2.0, 3.0), (None, 5.0, 7.0)
    assert cm.compose(first, second) == (1, 10.0, 17.0)  # 2 (5 x + 7) + 3
    assert cm.compose(second, first) == (1, 10.0, 22.0)  # 5 (2 x + 3) + 7
    assert cm.inverse(first) == (1, 0.5, -1.5)
    assert cm.compose(first, cm.inverse(first)) == (1, 1.0, 0.0)
    with pytest.raises(AxisMismatchException, match="got axis 1 and axis 2"):
        cm.compose(first, (2, 1, 0))


def test_what_only_crops_the_border_shifts_by_it():
    n = spec()
    assert plain(coord_map_from_to(n.deconv, n.data)) == (1, [1], [0])
    n = spec(pad=4)
    assert plain(coord_map_from_to(n.deconv, n.data)) == (1, [1], [-4])
    n.relu = L.ReLU(n.deconv, in_place=True)
    n.score = L.Eltwise(n.relu, n.deconv)
    assert plain(coord_map_from_to(n.score, n.data)) == (1, [1], [-4])


def test_rectangular_maps_are_those_of_each_axis():
    narrow, wide = spec(kernel=3, pad=1), spec(kernel=5, pad=7)
    both = spec(kernel=[3, 5], pad=[1, 7])
    shifts = [coord_map_from_to(n.deconv, n.data)[2][0] for n in (narrow, wide)]
    assert coord_map_from_to(both.deconv, both.data)[2].tolist() == shifts


def test_n_dimensional_maps():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 2, 9, 8, 7]})
    n.conv = L.Convolution(n.data, num_output=3, kernel_size=[3, 3, 3], pad=[0, 1, 2])
    axis, scale, shift = coord_map_from_to(n.conv, n.data)
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1], [1, 0, -1])


def test_a_crop_is_followed_through_its_first_bottom():
    n = spec(pad=4)
    n.smaller = L.Input(shape={"dim": [2, 1, 9, 8]})
    n.cropped = L.Crop(n.deconv, n.smaller, axis=2, offset=3)
    assert plain(coord_map_from_to(n.cropped, n.data)) == (1, [1], [-1])
    with pytest.raises(RuntimeError, match="no coordinate map"):
        coord_map_from_to(n.cropped, n.smaller)


def test_branches_meet_where_they_part():
    n = spec(pad=4)
    n.up1 = L.Deconvolution(n.pool, convolution_param={"kernel_size": 4, "stride": 2})
    n.up2 = L.Deconvolution(n.pool, convolution_param={"kernel_size": 6, "stride": 2})
    assert plain(coord_map_from_to(n.up2, n.up1)) == (1, [1], [-1])
    cropped = crop(n.up2, n.up1)
    assert cropped.fn.type_name == "Crop"
    assert cropped.fn.params == {"crop_param": {"axis": 2, "offset": [1]}}
    assert [top.fn for top in cropped.fn.inputs] == [n.up2.fn, n.up1.fn]


def test_tops_that_layers_have_in_place_need_no_offset():
    n = spec()
    assert crop(L.ReLU(n.data), n.data).fn.params["crop_param"] == {"axis": 2, "offset": [0]}


def test_fcn_s_crop_lays_each_pixel_over_its_own(tmp_path):
    """An FCN-32s in small: a bright pixel of the image is the brightest of the cropped score."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, 31, 27]})
    mean = {"type": "constant", "value": 1}
    bilinear = {"num_output": 1, "kernel_size": 4, "stride": 2, "bias_term": False}
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=10, weight_filler=mean)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    n.upscore = L.Deconvolution(
        n.pool, convolution_param={**bilinear, "weight_filler": {"type": "bilinear"}}
    )
    n.score = crop(n.upscore, n.data)
    net = net_from_text(tmp_path, str(n.to_proto()), caffe.TEST)
    for y, x in ((5, 8), (16, 3), (22, 21)):
        net.blobs["data"].data[...] = 0
        net.blobs["data"].data[0, 0, y, x] = 1
        score = net.forward()["score"][0, 0]
        assert score.shape == (31, 27)
        centre = np.array(np.nonzero(score * (score > 0))) @ score[score > 0] / score.sum()
        assert np.abs(centre - (y, x)).max() <= 0.5 + 1e-5


def test_mistakes():
    n = spec(pad=4)
    with pytest.raises(AssertionError, match=r"Pooling to L.Input: .* same scale, got \[2"):
        crop(n.pool, n.data)
    small = spec(kernel=5)
    with pytest.raises(AssertionError, match=r"offset of at least 0, got \[-1"):
        crop(small.deconv, small.data)
    odd = spec(kernel=4, pad=3)
    with pytest.raises(AssertionError, match=r"whole offset, got \[2.5\]"):
        crop(odd.deconv, odd.data)
    n.fc = L.InnerProduct(n.deconv, num_output=3)
    with pytest.raises(RuntimeError, match=r"no coordinate map from L.InnerProduct to L.Input"):
        coord_map_from_to(n.fc, n.data)
    n.deep = L.Convolution(n.deconv, axis=2, num_output=3, kernel_size=3)
    with pytest.raises(AxisMismatchException, match=r"got axis [12] and axis [12]"):
        coord_map_from_to(n.deep, n.data)


def test_layers_without_a_map():
    n = spec()
    with pytest.raises(UndefinedMapException, match=r"L.InnerProduct: no coordinate map"):
        cm.coord_map(L.InnerProduct(n.data, num_output=3).fn)
    with pytest.raises(UndefinedMapException, match="without kernel_size"):
        cm.coord_map(L.Pooling(n.data, global_pooling=True).fn)
    with pytest.raises(AssertionError, match="kernel_h, kernel_w; give kernel_size"):
        cm.coord_map(L.Convolution(n.data, num_output=2, kernel_h=3, kernel_w=5).fn)
