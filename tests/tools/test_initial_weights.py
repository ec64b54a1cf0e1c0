"""The weights a training starts from: loaded, or one line that says what is missing."""

import initial_weights
import numpy as np
import pytest
from errors import UserError

import caffe

NET = """
input: "x" input_shape { dim: 2 dim: 3 dim: 7 dim: 5 }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" } } }
layer { name: "fc6" type: "InnerProduct" bottom: "c" top: "f"
        inner_product_param { num_output: 6 weight_filler { type: "gaussian" } } }
layer { name: "fc8_new" type: "InnerProduct" bottom: "f" top: "y"
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
"""


def make_net(tmp_path, text=NET):
    (tmp_path / "net.prototxt").write_text(text)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def save(tmp_path, text):
    path = tmp_path / "start.caffemodel"
    net = make_net(tmp_path, text)
    net.save(str(path))
    return path, net


def test_the_layers_that_start_afresh_are_told(tmp_path):
    path, given = save(tmp_path, NET.replace("fc8_new", "fc8"))
    net = make_net(tmp_path)
    fresh = net.params["fc8_new"][0].data.copy()
    assert initial_weights.load(net, path, ["conv1", "fc6"]) == ["fc8_new"]
    np.testing.assert_array_equal(net.params["fc8_new"][0].data, fresh)
    np.testing.assert_array_equal(net.params["fc6"][0].data, given.params["fc6"][0].data)


def test_weights_that_the_net_has_already_count_as_loaded(tmp_path):
    path, given = save(tmp_path, NET)
    before = given.params["conv1"][0].data.copy()
    assert initial_weights.load(given, path, ["conv1", "fc6", "fc8_new"]) == []
    np.testing.assert_array_equal(given.params["conv1"][0].data, before)


def test_a_file_with_other_names_is_refused(tmp_path):
    path, _ = save(tmp_path, NET.replace('name: "fc6"', 'name: "ip1"'))
    message = r'"fc6" \(\(6, 60\), \(6,\)\), got none; 2 of the net\'s 3 layers were found in it'
    with pytest.raises(
        UserError, match=rf"start\.caffemodel: expected weights for layer {message}"
    ):
        initial_weights.load(make_net(tmp_path), path, ["conv1", "fc6"])


def test_shapes_that_do_not_fit_are_named_before_anything_is_loaded(tmp_path):
    path, _ = save(tmp_path, NET.replace("num_output: 6", "num_output: 9"))
    net = make_net(tmp_path)
    before = net.params["conv1"][0].data.copy()
    with pytest.raises(caffe.CaffeError, match=r'start\.caffemodel: .*"fc6"'):
        initial_weights.load(net, path)
    np.testing.assert_array_equal(net.params["conv1"][0].data, before)


def test_a_missing_file_names_the_download(tmp_path):
    with pytest.raises(UserError, match=r"none\.caffemodel: no such file: .* data/download\.py"):
        initial_weights.load(make_net(tmp_path), tmp_path / "none.caffemodel")
