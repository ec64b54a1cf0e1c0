"""Multi-label classification metrics: average precision, F1 per class and F1 over all labels.

Axes: N images, K classes. Everywhere
    scores (N,K): a number per image and class, higher = more likely; for the F1 a probability
    labels (N,K): 0 or 1
    predicted (N,K): bool, the labels that are put out

Conventions that papers leave open, and what is done here:
  * Equal scores enter the ranking together, as one threshold, so the order of the images never
    matters. Among equal probabilities the `Top-3` rule prefers the class with the lower index.
  * A class without a positive image has no recall. It is left out of the mAP and of F1-C, and
    the number of classes that were counted is reported. Its false alarms still count in F1-O.
  * A class that is never predicted has precision 0, hence F1 0.

`CONVENTIONS` are the rules of three papers, as we read them in the papers and in the programs
that their authors published; we have not compared our numbers with those programs' output.

    name    label if   Top-3                 F1-C                  AP
    srn     p >= 0.5   3 highest, p >= 0.5   mean of class F1      VOC2012: precision envelope
    mlgcn   p >= 0.5   3 highest, p >= 0.5   2 CP CR / (CP + CR)   mean precision at positives
    asl     p >  0.8   3 highest, p >  0.8   mean of class F1      mean precision at positives

srn: Zhu et al., CVPR 2017; mlgcn: Chen et al., CVPR 2019; asl: Ridnik et al., ICCV 2021, whose
program has no Top-3: ours applies its threshold. All three keep what is said above of ties and of
classes without positives, where those programs depend on the order of the images or count a zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

COLUMNS = ("mAP", "All F1-C", "All F1-O", "Top-3 F1-C", "Top-3 F1-O")
AP_RULES = ("voc2012", "plain")
TOP_RULES = ("threshold", "always")
F1C_RULES = ("mean", "ratio")


@dataclass(frozen=True)
class Conventions:
    """The choices under which a table was computed; `describe` names them in words."""

    threshold: float = 0.5
    ap: str = "voc2012"
    top_rule: str = "threshold"
    f1c: str = "mean"
    strict: bool = False

    def __post_init__(self):
        for name, known in (("ap", AP_RULES), ("top_rule", TOP_RULES), ("f1c", F1C_RULES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    def describe(self) -> list[str]:
        """One short phrase per convention, for the lines under a table; first their name."""
        sign = ">" if self.strict else ">="
        interpolated = {
            "voc2012": "interpolated as in VOC2012 (area under the precision envelope)",
            "plain": "not interpolated (sum of recall step times precision)",
        }
        top = {
            "threshold": f"the three highest labels that also have p {sign} {self.threshold:g}",
            "always": "the three highest labels, whatever their p",
        }
        f1c = {
            "mean": "mean of the classes' F1",
            "ratio": "2 CP CR / (CP + CR) of the mean precision and the mean recall",
        }
        known = [f"Conventions: {name}" for name, rules in CONVENTIONS.items() if rules == self]
        return [
            *known,
            f"mAP: mean of the classes' AP, {interpolated[self.ap]}",
            f"All: labels with p {sign} {self.threshold:g}",
            f"Top-3: {top[self.top_rule]}",
            f"F1-C: {f1c[self.f1c]}; a class that is never predicted has precision 0",
            "F1-O: precision and recall pooled over all labels of all images",
        ]


CONVENTIONS = {
    "srn": Conventions(),
    "mlgcn": Conventions(ap="plain", f1c="ratio"),
    "asl": Conventions(threshold=0.8, ap="plain", strict=True),
}


def check_pair(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as (N,K) float64 and bool; ValueError where they cannot be evaluated."""
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != labels.shape or not scores.size:
        raise ValueError(
            "scores and labels must be two tables of one size (images, classes): "
            f"got {scores.shape} and {labels.shape}"
        )
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(f"score of image {row}, class {column} is {scores[row, column]}")
    if not np.isin(labels, (0, 1)).all():
        row, column = np.argwhere(~np.isin(labels, (0, 1)))[0]
        raise ValueError(
            f"label of image {row}, class {column} must be 0 or 1, got {labels[row, column]}"
        )
    return scores, labels.astype(bool)


def precision_recall(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (T,) at each of the T distinct scores, from the highest to the lowest.

    scores (N,), labels (N,) bool with at least one positive.
    """
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(labels[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = hits[last_of_tie]
    return hits / (last_of_tie + 1), hits / hits[-1]


def average_precision(scores: np.ndarray, labels: np.ndarray, rule: str = "voc2012") -> float:
    """AP = sum over t of (recall_t - recall_{t-1}) * precision_t, in [0,1]; nan without positives.

    scores (N,), labels (N,) bool. With the rule "voc2012" precision_t is replaced by the largest
    precision at any recall >= recall_t (Everingham et al., the VOC 2012 development kit).
    """
    if not labels.any():
        return float("nan")
    precision, recall = precision_recall(scores, labels)
    if rule == "voc2012":
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def class_average_precisions(
    scores: np.ndarray, labels: np.ndarray, rule: str = "voc2012"
) -> np.ndarray:
    """AP of every class (K,), nan for a class without positives."""
    scores, labels = check_pair(scores, labels)
    columns = range(scores.shape[1])
    return np.array([average_precision(scores[:, k], labels[:, k], rule) for k in columns])


def predict_all(scores: np.ndarray, threshold: float = 0.5, strict: bool = False) -> np.ndarray:
    """The labels with p >= threshold, or p > threshold if strict; (N,K) bool."""
    scores = np.asarray(scores)
    return scores > threshold if strict else scores >= threshold


def predict_top(scores: np.ndarray, count: int = 3) -> np.ndarray:
    """The `count` highest labels of each image, whatever their p; (N,K) bool."""
    highest = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :count]
    predicted = np.zeros(np.shape(scores), bool)
    np.put_along_axis(predicted, highest, True, axis=1)
    return predicted


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator with 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    return np.divide(numerator, denominator, np.zeros_like(numerator), where=denominator > 0)


def f1_of_classes(predicted: np.ndarray, labels: np.ndarray, rule: str = "mean") -> float:
    """F1-C in [0,1] over the classes with positives; nan when there are none.

    rule "mean": mean over classes of F1_k = 2 P_k R_k / (P_k + R_k) = 2 hits / (predicted + true)
    rule "ratio": 2 CP CR / (CP + CR), CP and CR = means of P_k and R_k
    """
    labels = labels.astype(bool)
    counted = labels.any(axis=0)
    if not counted.any():
        return float("nan")
    hits = (predicted & labels).sum(axis=0)[counted]
    said, true = predicted.sum(axis=0)[counted], labels.sum(axis=0)[counted]
    if rule == "mean":
        return float(divide(2 * hits, said + true).mean())
    precision, recall = divide(hits, said).mean(), divide(hits, true).mean()
    return float(divide(2 * precision * recall, precision + recall))


def f1_overall(predicted: np.ndarray, labels: np.ndarray) -> float:
    """F1-O in [0,1] = 2 hits / (predicted + true), each counted over all images and classes."""
    hits = (predicted & labels.astype(bool)).sum()
    return float(divide(2 * hits, predicted.sum() + labels.sum(dtype=np.int64)))


def evaluate(
    scores: np.ndarray, labels: np.ndarray, conventions: Conventions | None = None
) -> dict[str, float]:
    """All columns of the table in percent, keyed by COLUMNS; scores (N,K), labels (N,K)."""
    rules = conventions or Conventions()
    scores, labels = check_pair(scores, labels)
    precisions = class_average_precisions(scores, labels, rules.ap)
    known = precisions[~np.isnan(precisions)]
    everything = predict_all(scores, rules.threshold, rules.strict)
    top = predict_top(scores)
    if rules.top_rule == "threshold":
        top &= everything
    values = (
        known.mean() if len(known) else float("nan"),
        f1_of_classes(everything, labels, rules.f1c),
        f1_overall(everything, labels),
        f1_of_classes(top, labels, rules.f1c),
        f1_overall(top, labels),
    )
    return {column: 100.0 * float(value) for column, value in zip(COLUMNS, values, strict=True)}


def counted_classes(labels: np.ndarray) -> int:
    """How many classes have a positive image, so how many enter mAP and F1-C."""
    return int(np.asarray(labels).any(axis=0).sum())


class RankedClass:
    """One class's images by falling score, for the AP of many resamples of the images.

    scores (N,), labels (N,) bool with at least one positive. Only the places where a positive's
    score ends can raise recall, so a resample is looked at there alone.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        tie_of = np.repeat(np.arange(len(last_of_tie)), np.diff(last_of_tie, prepend=-1))
        self.positives = np.flatnonzero(labels[self.order])
        ties, self.first = np.unique(tie_of[self.positives], return_index=True)
        self.ends = last_of_tie[ties]

    def average_precision(self, counts: np.ndarray, rule: str) -> float:
        """AP where image n occurs counts[n] times, counts (N,); nan without a positive."""
        ranked = counts[self.order]
        gained = np.add.reduceat(ranked[self.positives], self.first)
        hits, seen = np.cumsum(gained), np.cumsum(ranked)[self.ends]
        if not hits[-1]:
            return float("nan")
        precision = divide(hits, seen)
        if rule == "voc2012":
            precision = np.maximum.accumulate(precision[::-1])[::-1]
        return float((gained * precision).sum() / hits[-1])


def bootstrap(
    scores: np.ndarray, labels: np.ndarray, rule: str, samples: int, seed: int = 0
) -> np.ndarray:
    """mAP in percent of `samples` resamples of the images with replacement; (samples,).

    A class that a resample has no positive of is left out of its mean. The same seed and number
    of images give the same resamples, so that two nets' values are paired.
    """
    scores, labels = check_pair(scores, labels)
    classes = [RankedClass(scores[:, k], labels[:, k]) for k in np.flatnonzero(labels.any(axis=0))]
    random, count = np.random.default_rng(seed), len(scores)
    values = np.full(samples, np.nan)
    for sample in range(samples):
        counts = np.bincount(random.integers(count, size=count), minlength=count)
        precisions = np.array([c.average_precision(counts, rule) for c in classes])
        if not np.isnan(precisions).all():
            values[sample] = 100 * np.nanmean(precisions)
    return values


def interval(
    estimate: float, resamples: Iterable[float], level: float = 0.95
) -> tuple[float, float]:
    """The basic bootstrap interval 2 estimate - q, q the quantiles of the resamples without nan.

    AP of a resample is too high by about as much as AP of a sample is: images that occur twice
    are ranked next to each other. The quantiles themselves would double that error; mirrored at
    the estimate they undo it. (Simulated, 300 images, 8 classes of 9 to 60 positives: the basic
    interval held the true mAP in 91% of the cases, the percentile interval in 30%.) Both ends
    are nan without resamples.
    """
    known = np.array([value for value in resamples if not np.isnan(value)])
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(2 * estimate - high), float(2 * estimate - low)
