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
    always = metrics.predict_top(scores)
    assert always.tolist() == [[True, False, True, False, True], [True, True, True, False, False]]
    assert metrics.predict_top(scores, 9).all(), "fewer classes than places: all of them"


def test_the_top_three_may_have_to_reach_the_threshold():
    scores = np.array([[0.9, 0.4, 0.7, 0.6, 0.8], [0.5, 0.5, 0.5, 0.5, 0.1]])
    labels = np.array([[1, 0, 1, 0, 0], [1, 0, 0, 1, 1]])
    rules = metrics.Conventions(threshold=0.75)  # puts out classes 0 and 4 of the first image
    assert metrics.evaluate(scores, labels, rules)["Top-3 F1-O"] == pytest.approx(200 / (2 + 5))
    rules = metrics.Conventions(threshold=0.75, top_rule="always")
    assert metrics.evaluate(scores, labels, rules)["Top-3 F1-O"] == pytest.approx(600 / (6 + 5))


def test_threshold_is_inclusive_in_single_precision():
    assert metrics.predict_all(np.array([[0.5, 0.49999997]], np.float32)).tolist() == [
        [True, False]
    ]


def test_a_strict_threshold_leaves_out_what_is_equal():
    scores = np.array([[0.75, 0.7500001, 0.1]])
    assert metrics.predict_all(scores, 0.75, strict=True).tolist() == [[False, True, False]]
    labels = np.array([[1, 1, 0]])
    row = metrics.evaluate(scores, labels, metrics.Conventions(threshold=0.75, strict=True))
    assert row["All F1-O"] == row["Top-3 F1-O"] == pytest.approx(200 / 3)


# name -> threshold as the function that decides, F1-C as a ratio of means, AP with an envelope
NAMED = {
    "srn": (lambda p: p >= 0.5, False, True),
    "mlgcn": (lambda p: p >= 0.5, True, False),
    "asl": (lambda p: p > 0.8, False, False),
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_named_conventions_against_scikit_learn(name):
    decide, ratio, envelope = NAMED[name]
    scores, labels = ragged_sample(83, 8, 11)
    assert labels.any(axis=0).all(), "scikit-learn counts classes without positives"
    row = metrics.evaluate(scores, labels, metrics.CONVENTIONS[name])
    top = scores >= np.sort(scores, axis=1)[:, [-3]]
    untied = top.sum(axis=1) == 3  # among equal scores the choice is ours, see above
    for column, said, rows in (("All", decide(scores), slice(None)),
                               ("Top-3", decide(scores) & top, untied)):  # fmt: skip
        found = metrics.evaluate(scores[rows], labels[rows], metrics.CONVENTIONS[name])
        said, truth = said[rows], labels[rows]
        macro = {"average": "macro", "zero_division": 0}
        cp, cr = (f(truth, said, **macro) for f in (sk.precision_score, sk.recall_score))
        f1c = 2 * cp * cr / (cp + cr) if ratio else sk.f1_score(truth, said, **macro)
        assert found[f"{column} F1-C"] == pytest.approx(100 * f1c)
        f1o = sk.f1_score(truth, said, average="micro", zero_division=0)
        assert found[f"{column} F1-O"] == pytest.approx(100 * f1o)
    aps = [brute_average_precision(scores[:, k], labels[:, k], envelope) for k in range(8)]
    assert row["mAP"] == pytest.approx(100 * np.mean(aps))


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
    for name, said in (("All", scores >= 0.6), ("Top-3", metrics.predict_top(scores))):
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


@pytest.mark.parametrize("rule", metrics.AP_RULES)
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_a_resample_is_that_of_repeated_images(rule, seed):
    scores, labels = ragged_sample(31, 1, seed)
    scores, labels = scores[:, 0], labels[:, 0].astype(bool)
    ranked = metrics.RankedClass(scores, labels)
    random = np.random.default_rng(seed)
    for counts in (np.ones(31, int), *random.integers(0, 4, (9, 31))):
        repeated = np.repeat(scores, counts), np.repeat(labels, counts)
        expected = metrics.average_precision(*repeated, rule)
        assert ranked.average_precision(counts, rule) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(ranked.average_precision(1 - labels.astype(int), rule)), "no positive is left"


def test_the_bootstrap_draws_whole_images_and_leaves_lost_classes_out():
    scores, labels = ragged_sample(17, 5, 6, empty=[2])
    labels[:, 4] = np.arange(17) == 3  # a third of the resamples are without its only positive
    values = metrics.bootstrap(scores, labels, "plain", 7, seed=5)
    random = np.random.default_rng(5)
    for value in values:
        drawn = random.integers(17, size=17)
        kept = metrics.class_average_precisions(scores[drawn], labels[drawn], "plain")
        assert value == pytest.approx(100 * np.nanmean(kept))
    assert len(set(values)) == 7
    np.testing.assert_array_equal(values[:4], metrics.bootstrap(scores, labels, "plain", 4, seed=5))


def test_the_interval_holds_the_true_value_about_as_often_as_it_says():
    random = np.random.default_rng(1)

    def draw(images):
        labels = random.random((images, 4)) < 0.04
        return labels + random.normal(0, 1.1, (images, 4)), labels

    truth = metrics.evaluate(*draw(100_000))["mAP"]
    held = []
    for _ in range(80):
        test = draw(300)
        resamples = metrics.bootstrap(*test, "voc2012", 60)
        low, high = metrics.interval(metrics.evaluate(*test)["mAP"], resamples)
        held.append(low <= truth <= high)
    assert np.mean(held) > 0.8, "of 0.95; between the quantiles themselves it is 0.6"


def test_interval_by_hand():
    # the quantiles of 0..40 are 1 and 39; mirrored at 22 they are 43 and 5
    assert metrics.interval(22, [*range(41), float("nan")]) == pytest.approx((5, 43))
    assert np.isnan(metrics.interval(22, [float("nan")])).all()
    values = metrics.bootstrap(np.zeros((3, 2)), np.zeros((3, 2)), "plain", 4)
    assert np.isnan(values).all(), "no class has positives"
