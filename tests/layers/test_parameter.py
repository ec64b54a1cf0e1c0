"""Parameter: its blob is its top, and takes the top's gradient."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

NET = (
    'layer{name:"w" type:"Parameter" top:"w" parameter_param{shape{dim:2 dim:3}}}'
    'layer{name:"s" type:"Reduction" bottom:"w" top:"s" loss_weight:1'
    " reduction_param{operation:SUMSQ}}"
)


def test_value_and_gradient(tmp_path):
    net = net_from_text(tmp_path, NET)
    (blob,) = net.params["w"]
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    blob.data[...] = values
    out = net.forward()
    assert float(out["s"]) == 55
    np.testing.assert_array_equal(net.blobs["w"].data, values)
    net.backward()
    np.testing.assert_array_equal(blob.diff, 2 * values)
    blob.data[...] = 1
    assert float(net.forward()["s"]) == 6


def test_needs_a_shape(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'layer "w" \(Parameter\): parameter_param.shape'):
        net_from_text(tmp_path, 'layer{name:"w" type:"Parameter" top:"w"}')
