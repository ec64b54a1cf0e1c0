"""SegAccuracy: hand value, loops, ignored labels, accumulation, ties, errors."""

import numpy as np
import pytest
import torch

import caffe
from tests.layer_checks import make_layer, net_from_text

CPU = torch.device("cpu")
TEXT = 'name:"l" type:"SegAccuracy" bottom:"x" bottom:"y" top:"a" seg_accuracy_param{%s}'


def scores_for(best: np.ndarray, classes: int) -> torch.Tensor:
    """Scores (1, C, 1, W) whose highest are the classes `best` (W)."""
    return torch.tensor(np.eye(classes)[best].T.reshape(1, classes, 1, -1))


def measures(truth: np.ndarray, best: np.ndarray, classes: int) -> list[float]:
    """The three measures, class by class from sets of pixels."""
    recall, overlap = [], []
    for c in range(classes):
        if (truth == c).any():
            recall.append((best == c)[truth == c].mean())
        union = ((truth == c) | (best == c)).sum()
        overlap.append(((truth == c) & (best == c)).sum() / union if union else 1)
    return [(truth == best).mean(), np.mean(recall), np.mean(overlap)]


def run(layer, truth, best, classes):
    y = torch.tensor(truth, dtype=torch.float32).reshape(1, 1, 1, -1)
    (top,) = layer.run(scores_for(best, classes), y, device=CPU)
    assert top.shape == (1, 1, 1, 3)
    return top.flatten().numpy()


def test_hand_value():
    # Labels 0 0 0 1, predicted 0 0 1 1; of class 2 there is nothing, which counts as agreement.
    layer = make_layer(TEXT % "", (1, 3, 1, 4), (1, 1, 1, 4))
    got = run(layer, [0, 0, 0, 1], np.array([0, 0, 1, 1]), 3)
    np.testing.assert_allclose(got, [3 / 4, (2 / 3 + 1) / 2, (2 / 3 + 1 / 2 + 1) / 3])


def test_many_images_without_the_ignored():
    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((2, 4, 7, 5)), rng.integers(0, 4, (2, 1, 7, 5))
    hidden = rng.random(truth.shape) < 0.2
    labels = np.where(hidden, np.where(truth > 1, 255, 9), truth)
    layer = make_layer(TEXT % "ignore_label:255 ignore_label:9", scores.shape, truth.shape)
    (top,) = layer.run(torch.tensor(scores), torch.tensor(labels), device=CPU)
    best = scores.argmax(axis=1)[:, None]
    np.testing.assert_allclose(top[0, 0, 0], measures(truth[~hidden], best[~hidden], 4))


@pytest.mark.parametrize(
    ("metric", "index"), [("PixelAccuracy", 0), ("ClassAccuracy", 1), ("PixelIOU", 2)]
)
def test_the_chosen_metric_comes_first(metric, index):
    truth, best = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 2, 2, 0])
    layer = make_layer(TEXT % f"metric:{metric}", (1, 3, 1, 6), (1, 1, 1, 6))
    want = measures(truth, best, 3)
    np.testing.assert_allclose(run(layer, truth, best, 3), [want[index], *want[1:]])


def test_goes_on_over_passes_only_without_reset(tmp_path):
    rng = np.random.default_rng(1)
    passes = [(rng.integers(0, 3, 8), rng.integers(0, 3, 8)) for _ in range(3)]
    for reset in ("true", "false"):
        layer = make_layer(TEXT % f"reset:{reset}", (1, 3, 1, 8), (1, 1, 1, 8))
        for truth, best in passes:
            got = run(layer, truth, best, 3)
        kept = passes[-1:] if reset == "true" else passes
        truth, best = (np.concatenate(part) for part in zip(*kept, strict=True))
        np.testing.assert_allclose(got, measures(truth, best, 3))


def test_building_the_net_counts_nothing(tmp_path):
    text = (
        'input:"x" input_shape{dim:2 dim:3 dim:7 dim:5} '
        'input:"y" input_shape{dim:2 dim:1 dim:7 dim:5} layer{%s}' % (TEXT % "reset:false")
    )
    net = net_from_text(tmp_path, text)
    assert net.blobs["a"].shape == (1, 1, 1, 3)
    net.blobs["x"].data[:, 0] = 1
    for label, accuracy in ((0, 1), (1, 0.5)):
        net.blobs["y"].data[...] = label
        net.forward()
        assert net.blobs["a"].data[0, 0, 0, 0] == accuracy


def test_of_equal_scores_the_higher_class_wins():
    layer = make_layer(TEXT % "", (1, 3, 1, 2), (1, 1, 1, 2))
    y = torch.tensor([2.0, 1.0]).reshape(1, 1, 1, 2)
    (top,) = layer.run(torch.zeros(1, 3, 1, 2), y, device=CPU)
    assert float(top[0, 0, 0, 0]) == 0.5


def test_is_zero_when_every_label_is_ignored():
    layer = make_layer(TEXT % "ignore_label:255", (1, 3, 1, 2), (1, 1, 1, 2))
    np.testing.assert_array_equal(run(layer, [255, 255], np.array([0, 2]), 3), [0, 0, 0])


def test_names_what_does_not_fit():
    layer = make_layer(TEXT % "ignore_label:255", (2, 3, 7, 5), (2, 1, 7, 4))
    with pytest.raises(caffe.CaffeError, match=r'"l".*and \(N, 1, H, W\), got \(2, 3, 7, 5\) and'):
        layer.top_shapes((2, 3, 7, 5), (2, 1, 7, 4))
    with pytest.raises(caffe.CaffeError, match=r"expected scores \(N, C, H, W\), got \(2, 3\)"):
        make_layer(TEXT % "", (2, 3), (2, 1))
    y = torch.full((2, 1, 7, 5), 3.0)
    with pytest.raises(caffe.CaffeError, match=r"label 3: expected 0 to 2, or a seg_accuracy_par"):
        layer.run(torch.zeros(2, 3, 7, 5), y, device=CPU)
