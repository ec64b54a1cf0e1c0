"""Input: shapes from the net, numbers from the user."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

ONE_SHAPE = 'layer{name:"in" type:"Input" top:"a" top:"b" input_param{shape{dim:2 dim:3}}}'
TWO_SHAPES = (
    'layer{name:"in" type:"Input" top:"a" top:"b"'
    " input_param{shape{dim:2 dim:3} shape{dim:5}}}"
    'layer{name:"p" type:"Power" bottom:"a" top:"c" power_param{scale:10}}'
)


def test_one_shape_for_all_or_one_each(tmp_path):
    net = net_from_text(tmp_path, ONE_SHAPE)
    assert [net.blobs[name].shape for name in "ab"] == [(2, 3), (2, 3)]
    net = net_from_text(tmp_path, TWO_SHAPES)
    assert [net.blobs[name].shape for name in "ab"] == [(2, 3), (5,)]
    assert net.inputs == ["a", "b"]


def test_reads_what_the_user_writes_and_a_new_shape(tmp_path):
    net = net_from_text(tmp_path, TWO_SHAPES)
    net.blobs["a"].data[...] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(net.forward()["c"], [[10, 20, 30], [40, 50, 60]])
    net.blobs["a"].reshape(4, 7)
    net.reshape()
    assert net.blobs["c"].shape == (4, 7)
    net.blobs["a"].data[...] = 3
    np.testing.assert_array_equal(net.forward()["c"], np.full((4, 7), 30))


def test_gets_its_shape_later(tmp_path):
    text = TWO_SHAPES.replace("input_param{shape{dim:2 dim:3} shape{dim:5}}", "")
    net = net_from_text(tmp_path, text)
    assert net.blobs["a"].shape == ()
    net.blobs["a"].reshape(2, 3)
    net.blobs["a"].data[...] = 4
    np.testing.assert_array_equal(net.forward()["c"], np.full((2, 3), 40))


def test_number_of_shapes(tmp_path):
    text = 'layer{name:"in" type:"Input" top:"a" top:"b" top:"c" input_param{%s}}'
    message = r'layer "in" \(Input\): expected 1 or 3 input_param.shape, got 2'
    with pytest.raises(caffe.CaffeError, match=message):
        net_from_text(tmp_path, text % "shape{dim:2} shape{dim:3}")
    lone = 'layer{name:"in" type:"Input" top:"a" input_param{shape{dim:2} shape{dim:3}}}'
    with pytest.raises(caffe.CaffeError, match=r"expected 1 input_param.shape, got 2"):
        net_from_text(tmp_path, lone)
