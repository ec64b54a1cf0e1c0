"""LayerView: what scripts do with `net.layers[i]`."""

import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
layer { name: "own" type: "Python" bottom: "y" top: "z"
  python_param { module: "tests.test_layer_view" layer: "Times" } }
"""


class Times(caffe.Layer):
    """A layer whose user turns a knob from outside, as py-faster-rcnn does with its roidb."""

    def setup(self, bottom, top):
        self.factor = 1

    def set_factor(self, factor):
        self.factor = factor

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data


@pytest.fixture
def net(tmp_path):
    return net_from_text(tmp_path, NET)


def test_types_names_and_blobs(net):
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "Python"]
    assert [layer.name for layer in net.layers] == net._layer_names
    assert [blob.shape for blob in net.layers[1].blobs] == [(5, 3), (5,)]
    assert net.layers[1].blobs[0] is net.params["fc"][0]
    assert net.layer_dict["fc"] is net.layers[1]
    assert all(isinstance(layer, caffe.Layer) for layer in net.layers)


def test_a_python_layer_is_the_users_own_object(net):
    assert isinstance(net.layers[2], Times)
    net.layers[2].set_factor(3)
    net.blobs["x"].data[...] = 1
    net.forward()
    np.testing.assert_allclose(net.blobs["z"].data, 3 * net.blobs["y"].data)


def test_reshape_gives_the_tops_the_bottoms_batch(net):
    net.blobs["x"].reshape(7, 3)
    net.layers[1].reshape([net.blobs["x"]], [net.blobs["y"]])
    assert net.blobs["y"].shape == (7, 5)
    net.blobs["x"].reshape(7, 4)
    with pytest.raises(caffe.CaffeError, match=r'layer "fc".*\(7, 4\)'):
        net.layers[1].reshape([net.blobs["x"]], [net.blobs["y"]])


def test_setup_keeps_parameters_that_are_there(net):
    before = net.params["fc"][0].data.copy()
    net.layers[1].setup([net.blobs["x"]], [net.blobs["y"]])
    assert len(net.layers[1].blobs) == 2
    np.testing.assert_array_equal(net.params["fc"][0].data, before)
