"""SpatialProduct: hand value, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer

TEXT = 'name:"l" type:"SpatialProduct" bottom:"x" bottom:"s" top:"y"'


def test_hand_value():
    x, s = torch.arange(1.0, 5).reshape(1, 2, 1, 2), torch.tensor([[[[10.0, -1.0]]]])
    (y,) = make_layer(TEXT, x.shape, s.shape).run(x, s, device=torch.device("cpu"))
    np.testing.assert_array_equal(y, [[[[10, -2]], [[30, -4]]]])


def test_gradient():
    rng, shapes = np.random.default_rng(0), ((2, 3, 7, 5), (2, 1, 7, 5))
    check_gradient(make_layer(TEXT, *shapes), *map(rng.standard_normal, shapes))


@pytest.mark.parametrize(
    "shapes", [((2, 3, 7, 5), (2, 3, 7, 5)), ((2, 3, 7, 5), (1, 1, 7, 5)), ((2, 3), (2, 1))]
)
def test_names_what_does_not_fit(shapes):
    with pytest.raises(caffe.CaffeError, match=r'"l" \(SpatialProduct\): .*\(N, 1, H, W\), got'):
        make_layer(TEXT, *shapes)
