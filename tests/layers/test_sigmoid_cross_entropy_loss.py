"""SigmoidCrossEntropyLoss: hand value, golden values, gradient, normalisation, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"SigmoidCrossEntropyLoss" bottom:"x" bottom:"y" top:"loss" loss_param{%s}'


@pytest.mark.parametrize("case", ["mlic/sigmoid_ce", "pspnet/sigmoid_ce"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value():
    layer = make_layer(TEXT % "", (1, 2), (1, 2))
    (loss,) = layer.run(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), device=CPU)
    assert float(loss) == pytest.approx(math.log(2) + math.log(1 + math.e))


def test_stays_finite_at_large_logits():
    layer = make_layer(TEXT % "", (1, 3), (1, 3))
    x = torch.tensor([[1000.0, -1000.0, 1000.0]], requires_grad=True)
    (loss,) = layer.run(x, torch.tensor([[1.0, 0.0, 0.0]]), device=CPU)
    assert float(loss.detach()) == 1000
    (grad,) = torch.autograd.grad(loss, x)
    np.testing.assert_array_equal(grad, [[0, 0, 1]])


@pytest.mark.parametrize(
    ("param", "divisor"),
    [
        ("", 2),
        ("normalize:false", 2),
        ("normalize:true", 15),
        ("normalization:FULL", 24),
        ("normalization:VALID", 15),
        ("normalization:BATCH_SIZE normalize:true", 2),
        ("normalization:NONE", 1),
    ],
)
def test_normalisation_without_the_ignored(param, divisor):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, 4))
    y = (rng.random((2, 3, 4)) < 0.5).astype(float)
    y.reshape(-1)[:9] = -1
    layer = make_layer(TEXT % f"ignore_label:-1 {param}", x.shape, y.shape)
    p = 1 / (1 + np.exp(-x))
    cost = -np.where(y == 1, np.log(p), np.log(1 - p))[y >= 0].sum()
    (loss,) = layer.run(torch.tensor(x), torch.tensor(y), device=CPU)
    assert float(loss) == pytest.approx(cost / divisor)


def test_gradient_with_soft_targets():
    rng = np.random.default_rng(0)
    layer = make_layer(TEXT % "ignore_label:1", (3, 2, 5), (3, 2, 5))
    y = rng.random((3, 2, 5))
    y[0, 1] = 1
    check_gradient(layer, rng.standard_normal((3, 2, 5)), y, wrt=(0,))


def test_names_both_shapes_when_they_differ():
    layer = make_layer(TEXT % "", (2, 3), (2, 4))
    with pytest.raises(caffe.CaffeError, match=r'"l".*targets as in \(2, 3\), got \(2, 4\)'):
        layer.top_shapes((2, 3), (2, 4))
