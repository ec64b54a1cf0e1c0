"""DummyData: shapes and fillers, for one top or several; errors."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TEXT = 'layer{name:"l" type:"DummyData" %s dummy_data_param{%s}}'
TWO = 'top:"a" top:"b"'


def test_one_shape_and_filler_serve_all_tops(tmp_path):
    net = net_from_text(tmp_path, TEXT % (TWO, "shape{dim:2 dim:3} data_filler{value:7}"))
    net.forward()
    for top in "ab":
        np.testing.assert_array_equal(net.blobs[top].data, np.full((2, 3), 7))


def test_each_top_has_its_own_and_chance_is_drawn_anew(tmp_path):
    caffe.set_random_seed(1)
    fillers = 'data_filler{type:"uniform" min:4 max:5} data_filler{value:-1}'
    net = net_from_text(
        tmp_path, TEXT % (TWO, f"num:2 channels:3 height:4 height:1 width:5 width:7 {fillers}")
    )
    net.forward()
    first = net.blobs["a"].data.copy()
    assert first.shape == (2, 3, 4, 5)
    assert 4 <= first.min() < first.max() <= 5
    np.testing.assert_array_equal(net.blobs["b"].data, np.full((2, 3, 1, 7), -1))
    net.forward()
    assert not np.array_equal(net.blobs["a"].data, first)


def test_is_zero_without_a_filler(tmp_path):
    net = net_from_text(tmp_path, TEXT % ('top:"a"', "shape{dim:3}"))
    net.forward()
    np.testing.assert_array_equal(net.blobs["a"].data, [0, 0, 0])


def test_what_is_written_into_a_constant_top_stays(tmp_path):
    fillers = 'data_filler{value:3} data_filler{type:"gaussian" std:1}'
    net = net_from_text(tmp_path, TEXT % (TWO, f"shape{{dim:2 dim:3}} {fillers}"))
    np.testing.assert_array_equal(net.blobs["a"].data, np.full((2, 3), 3))
    for blob in net.blobs.values():
        blob.data[...] = 7
    for _ in range(2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["a"].data, np.full((2, 3), 7))
        assert not (net.blobs["b"].data == 7).any()
    net.blobs["a"].reshape(4, 5)
    net.reshape()
    net.blobs["a"].data[...] = 9
    np.testing.assert_array_equal(net.forward()["a"], np.full((4, 5), 9))


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "either shape or num, channels, height and width"),
        ("shape{dim:1} num:1", "either shape or num"),
        ("num:1 channels:1 height:1", "expected 1 or 2 width, got 0"),
        ("shape{dim:1} shape{dim:1} shape{dim:1}", "expected 1 or 2 shape, got 3"),
        ("shape{dim:1} data_filler{} data_filler{} data_filler{}", "1 or 2 data_filler, got 3"),
    ],
)
def test_names_what_does_not_fit(tmp_path, param, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(DummyData\): .*{message}'):
        net_from_text(tmp_path, TEXT % (TWO, param))
