"""ContrastiveLoss: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = (
    'name:"l" type:"ContrastiveLoss" bottom:"a" bottom:"b" bottom:"y" top:"loss" '
    "contrastive_loss_param{%s}"
)


def test_golden(tmp_path):
    replay_golden(tmp_path, "pspnet/contrastive")


@pytest.mark.parametrize(("param", "far"), [("margin:7", 4), ("margin:28 legacy_version:true", 3)])
def test_hand_value(param, far):
    layer = make_layer(TEXT % param, (2, 2), (2, 2), (2,))
    a, b = torch.tensor([[3.0, 4], [1, 1]]), torch.tensor([[0.0, 0], [1, 3]])
    (loss,) = layer.run(a, b, torch.tensor([0.0, 1.0]), device=CPU)
    assert float(loss) == (far + 4) / 4


@pytest.mark.parametrize("param", ["legacy_version:true margin:12", "margin:0.01"])
def test_gradient(param):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5, 3, 1, 1))
    layer = make_layer(TEXT % param, a.shape, b.shape, (5,))
    check_gradient(layer, a, b, np.array([0, 1, 0, 1, 0]), wrt=(0, 1))


def test_gradient_of_a_dissimilar_pair_is_damped_and_finite():
    layer = make_layer(TEXT % "margin:2", (2, 1), (2, 1), (2,))
    a = torch.tensor([[1.0], [5.0]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[0.0], [5.0]], dtype=torch.float64)
    (loss,) = layer.run(a, b, torch.zeros(2), device=CPU)
    (grad,) = torch.autograd.grad(loss, a)
    np.testing.assert_allclose(grad, [[-(2 - 1) / (1 + 1e-4) / 2], [0]])


def test_names_shapes_that_do_not_fit():
    for shapes in [((2, 3), (2, 4), (2,)), ((2, 3), (2, 3), (3,)), ((2, 3, 2), (2, 3, 2), (2,))]:
        with pytest.raises(caffe.CaffeError, match=r'"l".*expected bottoms \(N, C\), \(N, C\)'):
            make_layer(TEXT % "", *shapes).top_shapes(*shapes)
