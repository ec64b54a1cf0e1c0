"""UniqueLabel: hand value, ignored and forced labels, into BiasChannel, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, net_from_text

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"UniqueLabel" bottom:"x" top:"y" unique_label_param{%s}'


def test_labels_of_each_image():
    x = torch.tensor([[3.0, 255, 1, 1, 3, 7], [0, 255, 0, 0, 0, 0]]).reshape(2, 1, 2, 3)
    fields = "max_labels:4 ignore_label:255 ignore_label:7 force_label:5 force_label:1"
    layer = make_layer(TEXT % fields, x.shape)
    assert layer.top_shapes((2, 1, 2, 3)) == [(2, 4, 1, 1)]
    (y,) = layer.run(x, device=CPU)
    np.testing.assert_array_equal(y.reshape(2, 4), [[1, 3, 5, -1], [0, 1, 5, -1]])


def test_feeds_a_bias_channel(tmp_path):
    text = (
        'input:"x" input_shape{dim:1 dim:3 dim:2 dim:2} '
        'input:"map" input_shape{dim:1 dim:1 dim:4 dim:5} '
        'layer{name:"u" type:"UniqueLabel" bottom:"map" top:"labels" '
        "unique_label_param{max_labels:3 ignore_label:255 force_label:0}} "
        'layer{name:"b" type:"BiasChannel" bottom:"x" bottom:"labels" top:"y" '
        "bias_channel_param{ignore_label:255}}"
    )
    net = net_from_text(tmp_path, text)
    net.blobs["map"].data[...] = 255
    net.blobs["map"].data[0, 0, 3, 1] = 2
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data[0, :, 0, 0], [1, 0, 2])


def test_names_what_does_not_fit():
    with pytest.raises(caffe.CaffeError, match=r'"l".*expected a bottom \(N, 1, H, W\), got'):
        make_layer(TEXT % "max_labels:3", (2, 3, 7, 5))
    with pytest.raises(caffe.CaffeError, match="max_labels of at least 1, got 0"):
        make_layer(TEXT % "max_labels:0", (2, 1, 7, 5))
    with pytest.raises(caffe.CaffeError, match=r"whole numbers as force_label, got \[0.5, inf\]"):
        make_layer(TEXT % "max_labels:2 force_label:0.5 force_label:inf", (2, 1, 7, 5))
    layer = make_layer(TEXT % "max_labels:2", (2, 1, 1, 3))
    x = torch.tensor([[1.0, 1, 1], [4, 0, 2]]).reshape(2, 1, 1, 3)
    message = r"at most 2 labels \(max_labels\) per image, got \[0, 2, 4\] in image 1"
    with pytest.raises(caffe.CaffeError, match=message):
        layer.run(x, device=CPU)
