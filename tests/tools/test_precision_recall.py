"""precision_recall.py: the curves' points, by hand and against the metric."""

import metrics
import numpy as np
import precision_recall
import pytest


def test_best_precision_by_hand():
    # right at ranks 1, 3, 4 and 8 of 10: recall 1/4, 2/4, 3/4, 1 with precision 1, 2/3, 3/4, 1/2
    labels = np.isin(np.arange(10), [0, 2, 3, 7])
    found = precision_recall.best_precision(np.linspace(1, 0, 10), labels)
    by_recall = dict(zip(precision_recall.RECALLS.round(2).tolist(), found, strict=True))
    assert [by_recall[r] for r in (0, 0.24, 0.26, 0.5, 0.74, 0.76, 1)] == pytest.approx(
        [1, 1, 0.75, 0.75, 0.75, 0.5, 0.5]
    )


def test_a_recall_that_is_reached_exactly_counts():
    labels = np.arange(20) < 10
    scores = np.where(np.arange(20) < 3, 1.0, 0.5)  # three of ten, then a tie of all the others
    found = precision_recall.best_precision(scores, labels)
    assert found[15] == 1, "recall 0.3"
    assert found[16] == 0.5


def test_the_mean_of_the_curve_is_about_the_average_precision():
    random = np.random.default_rng(0)
    labels = random.random(500) < 0.3
    scores = labels + random.normal(0, 1, 500)
    found = precision_recall.best_precision(scores, labels)
    assert found.mean() == pytest.approx(metrics.average_precision(scores, labels), abs=0.02)


def test_curves_are_means_over_seeds_in_the_given_order():
    labels = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]])
    good, bad = labels.astype(float), 1 - labels.astype(float)
    found = {("a", 1): good, ("a", 2): bad, ("b", 1): good}
    curves = precision_recall.class_curves(found, labels, ["x", "y", "z"], [2, 1, 0], "plain")
    assert [(c["name"], c["positives"]) for c in curves] == [("z", 2), ("x", 2)]
    first, second = curves[0]["lines"]
    assert (first["row"], first["ap"]) == ("a", 75.0), "1 and 2/4"
    assert (second["row"], second["ap"]) == ("b", 100.0)
    assert second["points"].split() == [f"{x},0.0" for x in range(0, 101, 2)]
    assert first["points"].split()[0] == "0,25.0"
