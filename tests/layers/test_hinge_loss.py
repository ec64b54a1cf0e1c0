"""HingeLoss: hand value, golden values, gradient, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"HingeLoss" bottom:"x" bottom:"y" top:"loss" hinge_loss_param{norm:%s}'


@pytest.mark.parametrize("case", ["mlic/hinge_l1", "mlic/hinge_l2", "pspnet/hinge_l1"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


@pytest.mark.parametrize(("norm", "want"), [("L1", (0.5 + 3 + 1) / 2), ("L2", (0.25 + 9 + 1) / 2)])
def test_hand_value(norm, want):
    layer = make_layer(TEXT % norm, (2, 2), (2,))
    x = torch.tensor([[0.5, -4.0], [2.0, 0.0]])
    (loss,) = layer.run(x, torch.tensor([0.0, 1.0]), device=CPU)
    assert float(loss) == want


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_gradient_over_all_trailing_axes(norm):
    layer = make_layer(TEXT % norm, (3, 2, 5), (3, 1))
    x = np.random.default_rng(0).standard_normal((3, 2, 5))
    check_gradient(layer, x, np.array([[9], [0], [4]]), wrt=(0,))


def test_names_what_does_not_fit():
    layer = make_layer(TEXT % "L1", (3, 5), (3,))
    with pytest.raises(caffe.CaffeError, match=r'"l".*expected 3 labels.*got \(2,\)'):
        layer.top_shapes((3, 5), (2,))
    with pytest.raises(caffe.CaffeError, match="label 5: expected 0 to 4"):
        layer.run(torch.zeros(3, 5), torch.tensor([0, 5, 1]), device=CPU)
