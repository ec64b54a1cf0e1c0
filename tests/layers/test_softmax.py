"""Softmax: hand value, golden values, large numbers, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Softmax" bottom:"x" top:"y" softmax_param{axis:%d}'


@pytest.mark.parametrize("tree", ["mlic", "pspnet"])
@pytest.mark.parametrize("case", ["softmax_c", "softmax_axis2"])
def test_golden(tmp_path, tree, case):
    replay_golden(tmp_path, f"{tree}/{case}")


def test_hand_value():
    x = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    (y,) = make_layer(TEXT % 1, (1, 3)).run(x, device=CPU)
    np.testing.assert_allclose(y, [[0.125, 0.25, 0.625]], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_equals_the_definition(axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    (y,) = make_layer(TEXT % axis, x.shape).run(torch.tensor(x), device=CPU)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis, keepdims=True), rtol=1e-12)


def test_large_numbers_stay_finite():
    (y,) = make_layer(TEXT % 1, (1, 3)).run(torch.tensor([[1e4, 1e4, -1e4]]), device=CPU)
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0]])


def test_gradient():
    check_gradient(make_layer(TEXT % 1, (2, 3, 5)), np.random.default_rng(1).random((2, 3, 5)))


def test_axis_outside():
    with pytest.raises(caffe.CaffeError, match=r'layer "l" \(Softmax\): .*\[-2, 1\], got 2'):
        make_layer(TEXT % 2, (2, 3)).top_shapes((2, 3))
