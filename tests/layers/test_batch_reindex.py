"""BatchReindex: hand value, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer

TEXT = 'name:"l" type:"BatchReindex" bottom:"x" bottom:"i" top:"y"'
CPU = torch.device("cpu")


def test_hand_value():
    layer = make_layer(TEXT, (3, 2), (4,))
    x = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    (y,) = layer.run(x, torch.tensor([2.0, 0, 2, 1]), device=CPU)
    np.testing.assert_array_equal(y, [[5, 6], [1, 2], [5, 6], [3, 4]])
    assert layer.top_shapes((3, 2), (4,)) == [(4, 2)]


def test_gradient_adds_over_copies():
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    check_gradient(make_layer(TEXT, (3, 2, 4), (5,)), x, np.array([1, 1, 0, 1, 0]), wrt=(0,))


def test_names_what_does_not_fit():
    layer = make_layer(TEXT, (3, 2), (4,))
    with pytest.raises(caffe.CaffeError, match=r'"l".*expected an index \(M\), got \(4, 1\)'):
        layer.top_shapes((3, 2), (4, 1))
    with pytest.raises(caffe.CaffeError, match=r'"l" \(BatchReindex\): row 3: expected 0 to 2$'):
        layer.run(torch.zeros(3, 2), torch.tensor([3.0]), device=CPU)
