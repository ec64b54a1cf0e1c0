"""metrics.py against values worked out by hand, brute force over thresholds, and scikit-learn."""

import metrics
import numpy as np
import pytest
from sklearn import metrics as sk

# 6 images of one class: ranks 1, 3, 4 of distinct scores are positive, then a tie of three.
RANKED = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
HITS = np.array([1, 0, 1, 1, 0, 0], bool)


def ragged_sample(images, classes, seed, empty=()):
    """Scores rounded to one digit (many ties) and rare labels, some classes without positives."""
    random = np.random.default_rng(seed)
    labels = random.random((images, classes)) < random.uniform(0.1, 0.5, classes)
    labels[:, list(empty)] = False
    scores = np.round(0.3 * labels + 0.7 * random.random((images, classes)), 1)
    return scores, labels.astype(np.uint8)


def brute_average_precision(scores, labels, interpolated):
    """AP straight from its definition: one pass per threshold, and for each the best beyond."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        said = [bool(label) for score, label in zip(scores, labels, strict=True)
                if score >= threshold]  # fmt: skip
        points.append((sum(said) / labels.sum(), sum(said) / len(said)))
    area, before = 0.0, 0.0
    for recall, precision in points:
        best = max(p for r, p in points if r >= recall) if interpolated else precision
        area, before = area + (recall - before) * best, recall
    return area


def test_average_precision_by_hand():
    # precision at the hits: 1/1, 2/3, 3/4; the envelope lifts 2/3 to 3/4
    assert metrics.average_precision(RANKED, HITS, "plain") == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3
    )
    assert metrics.average_precision(RANKED, HITS) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)


def test_ties_enter_together():
    scores, labels = np.array([0.5, 0.5, 0.5, 0.2]), np.array([1, 0, 0, 1], bool)
    for order in ([0, 1, 2, 3], [1, 2, 0, 3], [3, 2, 1, 0]):
        ap = metrics.average_precision(scores[order], labels[order], "plain")
        assert ap == pytest.approx(0.5 * (1 / 3) + 0.5 * (2 / 4))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_against_brute_force_and_scikit_learn(seed):
    scores, labels = ragged_sample(41, 7, seed)
    for k in np.flatnonzero(labels.any(axis=0)):
        column, truth = scores[:, k], labels[:, k].astype(bool)
        plain = metrics.average_precision(column, truth, "plain")
        assert plain == pytest.approx(sk.average_precision_score(truth, column), abs=1e-12)
        assert plain == pytest.approx(brute_average_precision(column, truth, False), abs=1e-12)
        envelope = metrics.average_precision(column, truth)
        assert envelope == pytest.approx(brute_average_precision(column, truth, True), abs=1e-12)
        assert envelope >= plain


def test_classes_without_positives_are_left_out():
    scores, labels = ragged_sample(29, 5, 3, empty=[1, 4])
    precisions = metrics.class_average_precisions(scores, labels)
    assert np.isnan(precisions).tolist() == [False, True, False, False, True]
    assert metrics.counted_classes(labels) == 3
    row = metrics.evaluate(scores, labels)
    assert row["mAP"] == pytest.approx(100 * precisions[[0, 2, 3]].mean())
    kept = metrics.evaluate(scores[:, [0, 2, 3]], labels[:, [0, 2, 3]])
    assert row["All F1-C"] == pytest.approx(kept["All F1-C"])
    assert row["All F1-O"] < kept["All F1-O"], "false alarms of an empty class count in F1-O"


def test_top_three_and_its_ties():
    scores = np.array([[0.9, 0.4, 0.7, 0.6, 0.8], [0.5, 0.5, 0.5, 0.5, 0.1]])
    always = metrics.predict_top(scores, 3, None)
    assert always.tolist() == [[True, False, True, False, True], [True, True, True, False, False]]
    both = metrics.predict_top(scores, 3, 0.75)
    assert both.tolist() == [[True, False, False, False, True], [False] * 5]
    assert metrics.predict_top(scores, 9, None).all(), "fewer classes than places: all of them"


def test_threshold_is_inclusive_in_single_precision():
    assert metrics.predict_all(np.array([[0.5, 0.49999997]], np.float32)).tolist() == [
        [True, False]
    ]


def test_f1_by_hand():
    labels = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]], np.uint8)
    predicted = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)
    # class 0: P 2/4, R 1; class 1: P 1, R 1/2; class 2: never predicted, P 0, R 0
    f1 = (2 / 3 + 2 / 3 + 0) / 3
    assert metrics.f1_of_classes(predicted, labels) == pytest.approx(f1)
    assert metrics.f1_of_classes(predicted, labels, "ratio") == pytest.approx(0.5)
    assert metrics.f1_overall(predicted, labels) == pytest.approx(2 * 3 / (5 + 5))


@pytest.mark.parametrize("seed", range(4))
def test_f1_against_scikit_learn(seed):
    scores, labels = ragged_sample(53, 6, seed)
    assert labels.any(axis=0).all(), "scikit-learn counts classes without positives"
    row = metrics.evaluate(scores, labels, metrics.Conventions(threshold=0.6, top_rule="always"))
    for name, said in (("All", scores >= 0.6), ("Top-3", metrics.predict_top(scores, 3, None))):
        for column, average in (("F1-C", "macro"), ("F1-O", "micro")):
            value = sk.f1_score(labels, said, average=average, zero_division=0)
            assert row[f"{name} {column}"] == pytest.approx(100 * value)


def test_ratio_rule_against_scikit_learn():
    scores, labels = ragged_sample(83, 8, 11)
    assert labels.any(axis=0).all(), "scikit-learn counts classes without positives"
    row = metrics.evaluate(scores, labels, metrics.Conventions(f1c="ratio"))
    said = scores >= 0.5
    cp = sk.precision_score(labels, said, average="macro", zero_division=0)
    cr = sk.recall_score(labels, said, average="macro", zero_division=0)
    assert row["All F1-C"] == pytest.approx(200 * cp * cr / (cp + cr))


def test_a_perfect_and_an_empty_prediction():
    labels = np.array([[1, 0], [0, 1], [1, 1]])
    assert set(metrics.evaluate(labels.astype(float), labels).values()) == {100.0}
    nothing = metrics.evaluate(np.zeros((3, 2)), labels)
    assert [nothing[c] for c in metrics.COLUMNS[1:]] == [0.0] * 4
    assert nothing["mAP"] == pytest.approx(100 * 2 / 3), "one tie: the share of positives"


def test_no_class_has_positives():
    row = metrics.evaluate(np.full((3, 2), 0.7), np.zeros((3, 2), int))
    assert np.isnan(row["mAP"])
    assert np.isnan(row["All F1-C"])
    assert row["All F1-O"] == 0.0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"\(2, 3\) and \(3, 2\)"),
        (np.zeros(4), np.zeros(4), r"\(images, classes\)"),
        (np.array([[0.1, np.nan]]), np.zeros((1, 2)), "image 0, class 1 is nan"),
        (np.zeros((2, 2)), np.array([[0, 1], [2, 0]]), "image 1, class 0 must be 0 or 1, got 2"),
    ],
)
def test_what_cannot_be_evaluated_is_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(scores, labels)


def test_unknown_convention_is_named():
    with pytest.raises(ValueError, match=r"ap: expected one of voc2012, plain, got 'voc2007'"):
        metrics.Conventions(ap="voc2007")


def test_every_convention_is_described():
    lines = "\n".join(metrics.Conventions(0.3, "plain", "always", "ratio").describe())
    for words in ("not interpolated", "p >= 0.3", "whatever their p", "2 CP CR", "pooled"):
        assert words in lines
