"""Silence: its bottoms are no outputs, and it gives them no gradient."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

NET = (
    'force_backward:true layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:3}}}'
    'layer{name:"a" type:"Power" bottom:"x" top:"y" power_param{scale:3}}'
    'layer{name:"b" type:"Power" bottom:"x" top:"z" power_param{scale:5}}'
    'layer{name:"l" type:"Silence" bottom:"z"}'
)


def test_takes_a_blob_out_of_the_outputs(tmp_path):
    net = net_from_text(tmp_path, NET)
    assert net.outputs == ["y"]
    net.blobs["x"].data[...] = 2
    assert list(net.forward()) == ["y"]
    np.testing.assert_array_equal(net.blobs["z"].data, 10)
    net.backward(y=np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(net.blobs["x"].diff, 3)


def test_has_no_top(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'"l" \(Silence\): expected 0 top blob\(s\), got 1'):
        net_from_text(tmp_path, NET.replace('bottom:"z"', 'bottom:"z" top:"t"'))
