"""Split: copies, golden value, the gradients add up."""

import numpy as np
import torch

from tests.layer_checks import check_gradient, make_layer, replay_golden

TEXT = 'name:"l" type:"Split" bottom:"x" top:"a" top:"b" top:"c"'


def test_golden(tmp_path):
    replay_golden(tmp_path, "pspnet/split")


def test_values_and_gradient_by_hand():
    x = torch.tensor([[1.0, -2.0, 3.0]], requires_grad=True)
    tops = make_layer(TEXT, x.shape).run(x, device=torch.device("cpu"))
    assert [top.tolist() for top in tops] == [[[1, -2, 3]]] * 3
    (grad,) = torch.autograd.grad(tops[0].sum() + 10 * tops[1].sum() + 100 * tops[2].sum(), x)
    np.testing.assert_array_equal(grad, [[111, 111, 111]])


def test_gradient():
    x = np.random.default_rng(1).standard_normal((2, 3, 5))
    check_gradient(make_layer(TEXT, x.shape), x)
