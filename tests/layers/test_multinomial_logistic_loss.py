"""MultinomialLogisticLoss: hand value, golden values, gradient, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"MultinomialLogisticLoss" bottom:"p" bottom:"y" top:"loss"'


def test_golden(tmp_path):
    replay_golden(tmp_path, "pspnet/multinomial_logistic")


def test_hand_value():
    layer = make_layer(TEXT, (2, 3), (2,))
    p = torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.375, 0.125]])
    (loss,) = layer.run(p, torch.tensor([0.0, 2.0]), device=CPU)
    assert float(loss) == pytest.approx((math.log(4) + math.log(8)) / 2)


def test_gradient():
    p = np.random.default_rng(0).uniform(0.1, 1, (3, 5, 1))
    check_gradient(make_layer(TEXT, p.shape, (3, 1)), p, np.array([[4], [0], [2]]), wrt=(0,))


def test_a_probability_of_zero_keeps_a_gradient():
    p = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    (loss,) = make_layer(TEXT, (1, 2), (1,)).run(p, torch.tensor([0.0]), device=CPU)
    assert float(loss.detach()) == pytest.approx(20 * math.log(10))
    np.testing.assert_allclose(torch.autograd.grad(loss, p)[0], [[-1e20, 0]])


def test_what_is_no_probability_counts_as_the_least():
    (loss,) = make_layer(TEXT, (1, 2), (1,)).run(
        torch.tensor([[-3.0, 1.0]]), torch.tensor([0.0]), device=CPU
    )
    assert float(loss) == pytest.approx(20 * math.log(10))


def test_names_what_does_not_fit():
    layer = make_layer(TEXT, (3, 5), (3,))
    with pytest.raises(caffe.CaffeError, match=r'"l".*expected 3 labels.*got \(3, 2\)'):
        layer.top_shapes((3, 5), (3, 2))
    with pytest.raises(caffe.CaffeError, match="label -1: expected 0 to 4"):
        layer.run(torch.zeros(3, 5), torch.tensor([0, -1, 1]), device=CPU)
