"""Eltwise: hand values, golden values, ties, zeros, gradients, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"Eltwise" bottom:"a" bottom:"b" bottom:"c" top:"y" eltwise_param{operation:%s}'
)


@pytest.mark.parametrize(
    "case",
    ["mlic/eltwise_max", "mlic/eltwise_prod", "mlic/eltwise_sum_coeff", "pspnet/eltwise_prod"],
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(
    ("operation", "want"),
    [
        ("PROD", [-8, 0]),
        ("SUM", [5, 5]),
        ("SUM coeff:1 coeff:-1 coeff:0.5", [5, -5]),
        ("MAX", [4, 5]),
        ("MAX coeff:1 coeff:-1 coeff:9", [4, 5]),
    ],
)
def test_hand_values(operation, want):
    bottoms = [torch.tensor(row) for row in ([2.0, 0.0], [-1.0, 5.0], [4.0, 0.0])]
    layer = make_layer(TEXT % operation, (2,), (2,), (2,))
    (y,) = layer.run(*bottoms, device=CPU)
    assert y.shape == (2,)
    np.testing.assert_array_equal(y, want)


def gradients(operation, *rows):
    bottoms = [torch.tensor(row, requires_grad=True) for row in rows]
    (y,) = make_layer(TEXT % operation, *[(len(rows[0]),)] * 3).run(*bottoms, device=CPU)
    return [grad.tolist() for grad in torch.autograd.grad(y.sum(), bottoms)]


def test_ties_give_the_gradient_to_one_bottom():
    got = gradients("MAX", [1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    assert got == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_product_has_a_gradient_at_zero():
    got = gradients("PROD", [0.0, 0.0], [3.0, 0.0], [5.0, 2.0])
    assert got == [[15, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("operation", ["PROD", "SUM", "SUM coeff:2 coeff:-1 coeff:0.5", "MAX"])
def test_gradient(operation):
    bottoms = np.random.default_rng(1).standard_normal((3, 2, 3, 5))
    check_gradient(make_layer(TEXT % operation, *[(2, 3, 5)] * 3), *bottoms)


@pytest.mark.parametrize(
    ("operation", "shapes", "message"),
    [
        ("SUM", [(2, 3), (2, 3), (2, 1)], r"one shape, got \(2, 3\), \(2, 3\), \(2, 1\)"),
        ("SUM coeff:1", [(2, 3)] * 3, "expected 0 or 3 coeff, got 1"),
        ("PROD coeff:1 coeff:1 coeff:2", [(2, 3)] * 3, "coeff needs operation: SUM, got PROD"),
    ],
)
def test_names_what_does_not_fit(operation, shapes, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "l" \(Eltwise\): .*{message}'):
        make_layer(TEXT % operation, *shapes)
