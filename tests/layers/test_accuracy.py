"""Accuracy: hand value, golden values, per class, ties, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, replay_golden

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"Accuracy" bottom:"x" bottom:"y" top:"a" %s'


@pytest.mark.parametrize("case", ["mlic/accuracy_top1", "pspnet/accuracy_top3_ignore"])
def test_golden(tmp_path, case):
    replay_golden(tmp_path, case)


def test_hand_value_per_class():
    layer = make_layer(TEXT % 'top:"c" accuracy_param{ignore_label:9}', (5, 3), (5,))
    scores = torch.tensor([[3.0, 2, 1], [1, 3, 2], [0, 1, 2], [5, 6, 4], [7, 0, 0]])
    overall, each = layer.run(scores, torch.tensor([0.0, 0, 2, 0, 9]), device=CPU)
    assert float(overall) == 0.5
    np.testing.assert_allclose(each, [1 / 3, 0, 1])


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_against_sorting_on_an_inner_axis(top_k):
    rng = np.random.default_rng(top_k)
    scores, y = rng.standard_normal((2, 3, 5, 7)), rng.integers(0, 5, (2, 3, 7))
    layer = make_layer(TEXT % f"accuracy_param{{axis:-2 top_k:{top_k}}}", scores.shape, y.shape)
    (overall,) = layer.run(torch.tensor(scores), torch.tensor(y), device=CPU)
    best = np.argsort(-scores, axis=2)[:, :, :top_k]
    assert float(overall) == pytest.approx((best == y[:, :, None]).any(axis=2).mean())


def test_of_equal_scores_the_higher_class_wins():
    layer = make_layer(TEXT % 'top:"c"', (3, 3), (3,))
    _, each = layer.run(torch.zeros(3, 3), torch.tensor([0, 1, 2]), device=CPU)
    np.testing.assert_array_equal(each, [0, 0, 1])


def test_is_zero_when_every_label_is_ignored():
    layer = make_layer(TEXT % "accuracy_param{ignore_label:1}", (2, 3), (2,))
    (overall,) = layer.run(torch.rand(2, 3), torch.tensor([1, 1]), device=CPU)
    assert float(overall) == 0


def test_is_zero_without_rows():
    layer = make_layer(TEXT % "", (2, 3, 7), (2, 7))
    (overall,) = layer.run(torch.zeros(0, 3, 7), torch.zeros(0, 7), device=CPU)
    assert float(overall) == 0


def test_names_what_does_not_fit():
    layer = make_layer(TEXT % "accuracy_param{top_k:4}", (2, 3), (2,))
    with pytest.raises(caffe.CaffeError, match=r'"l".*top_k at most 3.*and top_k 4'):
        layer.top_shapes((2, 3), (2,))
    layer = make_layer(TEXT % "", (2, 3), (2,))
    with pytest.raises(caffe.CaffeError, match="label 7: expected 0 to 2"):
        layer.run(torch.zeros(2, 3), torch.tensor([0.0, 7.0]), device=CPU)
    with pytest.raises(caffe.CaffeError, match="top_k of at least 1, got 0"):
        make_layer(TEXT % "accuracy_param{top_k:0}", (2, 3), (2,))
