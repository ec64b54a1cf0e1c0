"""SoftmaxWithLoss: hand value, golden values, gradient, normalisation, weights, errors."""

import math

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import check_gradient, make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"SoftmaxWithLoss" bottom:"x" bottom:"y" top:"loss" %s'


@pytest.mark.parametrize(
    "case",
    [
        "mlic/softmax_loss",
        "mlic/softmax_loss_spatial_ignore",
        "pspnet/softmax_loss",
        "pspnet/softmax_loss_spatial_ignore",
        "pspnet/softmax_loss_unnormalised",
    ],
)
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def _costs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-log softmax(x)[y] with classes on axis 1 of x, one label at a time."""
    out = np.zeros(y.shape)
    for place in np.ndindex(*y.shape):
        row = x[(place[0], slice(None), *place[1:])]
        out[place] = math.log(np.exp(row).sum()) - row[int(y[place])]
    return out


def test_hand_value_and_probabilities():
    layer = make_layer(TEXT % 'top:"p"', (1, 3), (1,))
    x = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    loss, p = layer.run(x, torch.tensor([1.0]), device=CPU)
    assert float(loss) == pytest.approx(math.log(4))
    np.testing.assert_allclose(p, [[0.125, 0.25, 0.625]], rtol=1e-6)


@pytest.mark.parametrize(
    ("param", "divisor"),
    [
        ("", 29),
        ("normalize:true", 29),
        ("normalize:false", 2),
        ("normalization:FULL", 40),
        ("normalization:BATCH_SIZE normalize:true", 2),
        ("normalization:NONE", 1),
    ],
)
def test_normalisation_without_the_ignored(param, divisor):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    cost = _costs(x, y)
    cost.reshape(-1)[:11] = 0
    y.reshape(-1)[:11] = 255
    text = TEXT % "loss_param{ignore_label:255 %s}" % param
    layer = make_layer(text, x.shape, y.shape)
    (loss,) = layer.run(torch.tensor(x), torch.tensor(y, dtype=torch.float32), device=CPU)
    assert float(loss) == pytest.approx(cost.sum() / divisor)


def test_class_weights_multiply_the_cost_but_not_the_count():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((4, 3)), np.array([2, 0, 1, 2])
    weighting = "class_weighting:0.5 class_weighting:2 class_weighting:7"
    layer = make_layer(TEXT % "loss_param{weight_by_label_freqs:true %s}" % weighting, (4, 3), (4,))
    (loss,) = layer.run(torch.tensor(x), torch.tensor(y), device=CPU)
    assert float(loss) == pytest.approx((_costs(x, y) * np.array([7, 0.5, 2, 7])).sum() / 4)


def test_gradient_over_the_last_axis_with_ignored_and_weights():
    rng = np.random.default_rng(0)
    text = TEXT % (
        "softmax_param{axis:-1} loss_param{ignore_label:-1 weight_by_label_freqs:true "
        "class_weighting:1 class_weighting:2 class_weighting:3 class_weighting:0.1}"
    )
    y = rng.integers(-1, 4, (2, 3, 1))
    layer = make_layer(text, (2, 3, 4), y.shape)
    check_gradient(layer, rng.standard_normal((2, 3, 4)), y, wrt=(0,))


def test_keeps_a_gradient_where_the_logarithm_is_cut():
    layer = make_layer(TEXT % "", (1, 2), (1,))
    x = torch.tensor([[0.0, 500.0]], requires_grad=True)
    (loss,) = layer.run(x, torch.tensor([0.0]), device=CPU)
    assert float(loss.detach()) == pytest.approx(126 * math.log(2))
    np.testing.assert_array_equal(torch.autograd.grad(loss, x)[0], [[-1, 1]])


def test_scores_of_any_size_cost_what_the_cut_logarithm_says():
    layer = make_layer(TEXT % "", (1, 2), (1,))
    (loss,) = layer.run(torch.tensor([[0.0, -1e10]]), torch.tensor([1.0]), device=CPU)
    assert float(loss) == pytest.approx(-math.log(np.finfo(np.float32).tiny), rel=1e-5)


def test_is_zero_without_rows():
    layer = make_layer(TEXT % 'top:"p"', (2, 3, 7), (2, 7))
    loss, p = layer.run(torch.zeros(0, 3, 7), torch.zeros(0, 7), device=CPU)
    assert float(loss) == 0
    assert p.shape == (0, 3, 7)


@pytest.mark.parametrize("value", [3, -1])
def test_names_a_label_out_of_range(value):
    layer = make_layer(TEXT % "loss_param{ignore_label:255}", (2, 3), (2,))
    with pytest.raises(caffe.CaffeError, match=rf'"l".*label {value}: expected 0 to 2, or 255'):
        layer.run(torch.zeros(2, 3), torch.tensor([255.0, value]), device=CPU)


def test_names_shapes_and_counts_that_do_not_fit():
    layer = make_layer(TEXT % "", (2, 3, 4), (2, 5))
    with pytest.raises(caffe.CaffeError, match=r"expected 8 labels.*axis 1, got \(2, 5\)"):
        layer.top_shapes((2, 3, 4), (2, 5))
    layer = make_layer(TEXT % "loss_param{weight_by_label_freqs:true}", (2, 3), (2,))
    with pytest.raises(caffe.CaffeError, match="expected 3 class_weighting, got 0"):
        layer.top_shapes((2, 3), (2,))
