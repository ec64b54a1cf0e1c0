"""CrossEntropyLoss: hand value, golden values, gradient, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"CrossEntropyLoss" bottom:"p" bottom:"y" top:"loss"'


def test_golden(tmp_path):
    replay_golden(tmp_path, "mlic/wsddn_cross_entropy_clamped")


def test_hand_value():
    layer = make_layer(TEXT, (2, 1), (2, 1))
    (loss,) = layer.run(torch.tensor([[0.25], [0.2]]), torch.tensor([[1.0], [0.0]]), device=CPU)
    assert float(loss) == pytest.approx((math.log(4) + math.log(1.25)) / 2)


def test_gradient_divides_by_the_images_alone():
    rng = np.random.default_rng(0)
    p, y = rng.uniform(0.1, 0.9, (3, 5)), (rng.random((3, 5)) < 0.4).astype(float)
    layer = make_layer(TEXT, p.shape, y.shape)
    check_gradient(layer, p, y, wrt=(0,))
    (loss,) = layer.run(torch.tensor(p), torch.tensor(y), device=CPU)
    want = -np.log(np.where(y == 1, p, 1 - p)).sum() / 3
    assert float(loss) == pytest.approx(want)


def test_a_cut_probability_keeps_the_gradient_of_the_cut_value():
    layer = make_layer(TEXT, (1, 4), (1, 4))
    p = torch.tensor([[0.0, 1.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    (loss,) = layer.run(p, torch.tensor([[1.0, 0.0, 0.0, 1.0]]), device=CPU)
    assert float(loss.detach()) == pytest.approx(2 * math.log(1e4))
    (grad,) = torch.autograd.grad(loss, p)
    np.testing.assert_allclose(grad, [[-1e4, 1e4, 1, -1]])


def test_names_both_shapes_when_they_differ():
    layer = make_layer(TEXT, (2, 3), (2, 4))
    with pytest.raises(caffe.CaffeError, match=r'"l".*labels as in \(2, 3\), got \(2, 4\)'):
        layer.top_shapes((2, 3), (2, 4))
