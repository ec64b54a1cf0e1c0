"""Filter: hand value, gradient, empty selections, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, net_from_text

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Filter" bottom:"a" bottom:"b" bottom:"s" top:"ya" top:"yb"'


def test_hand_value():
    layer = make_layer(TEXT, (3, 2), (3,), (3, 1, 1))
    a, b = torch.tensor([[1.0, 2], [3, 4], [5, 6]]), torch.tensor([7.0, 8, 9])
    ya, yb = layer.run(a, b, torch.tensor([1.0, 0, -2]).view(3, 1, 1), device=CPU)
    np.testing.assert_array_equal(ya, [[1, 2], [5, 6]])
    np.testing.assert_array_equal(yb, [7, 9])


def test_gradient():
    rng = np.random.default_rng(0)
    layer = make_layer(TEXT, (4, 3, 2), (4, 5), (4,))
    a, b = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 5))
    check_gradient(layer, a, b, np.array([0, 1, 1, 0]), wrt=(0, 1))


def test_a_net_goes_on_with_no_rows_and_with_some(tmp_path):
    text = (
        'input:"a" input_shape{dim:3 dim:2} input:"s" input_shape{dim:3} '
        'layer{name:"f" type:"Filter" bottom:"a" bottom:"s" top:"y"} '
        'layer{name:"r" type:"ReLU" bottom:"y" top:"z"}'
    )
    net = net_from_text(tmp_path, text)
    assert net.blobs["z"].shape == (3, 2)
    net.forward()
    assert net.blobs["z"].shape == (0, 2)
    net.blobs["s"].data[1] = 1
    net.blobs["a"].data[1] = 4
    net.forward()
    np.testing.assert_array_equal(net.blobs["z"].data, [[4, 4]])


def test_names_what_does_not_fit():
    for shapes in [((4, 3), (5, 2), (4,)), ((4, 3), (4,), (4, 2))]:
        with pytest.raises(caffe.CaffeError, match=r'"l".*bottoms \(N, ...\) and a selector \(N\)'):
            make_layer(TEXT, *shapes).top_shapes(*shapes)
    layer = make_layer(TEXT.replace(' bottom:"b"', ""), (4, 3), (4,))
    with pytest.raises(caffe.CaffeError, match="expected 1 tops"):
        layer.top_shapes((4, 3), (4,))
