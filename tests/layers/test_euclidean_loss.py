"""EuclideanLoss: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"EuclideanLoss" bottom:"a" bottom:"b" top:"loss"'


@pytest.mark.parametrize("case", ["mlic/euclidean", "pspnet/euclidean"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TEXT, (2, 1), (2, 1))
    a, b = torch.tensor([[1.0], [5.0]]), torch.tensor([[4.0], [1.0]])
    (loss,) = layer.run(a, b, device=torch.device("cpu"))
    assert float(loss) == (9 + 16) / 4


def test_gradient_of_both_bottoms():
    rng = np.random.default_rng(0)
    layer = make_layer(TEXT, (3, 2, 5), (3, 10))
    check_gradient(layer, rng.standard_normal((3, 2, 5)), rng.standard_normal((3, 10)))


@pytest.mark.parametrize("other", [(2, 4), (3, 2)])
def test_names_both_shapes_when_they_differ(other):
    layer = make_layer(TEXT, (2, 3), other)
    with pytest.raises(caffe.CaffeError, match=r'"l".*one size, got \(2, 3\) and'):
        layer.top_shapes((2, 3), other)
