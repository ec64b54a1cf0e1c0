"""Precision over recall of every class, as points of small drawings that the page draws itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import metrics
import numpy as np

RECALLS = np.linspace(0, 1, 51)


def best_precision(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The best precision (51,) at any recall >= each of RECALLS.

    scores (N,), labels (N,) bool with at least one positive.
    """
    precision, recall = metrics.precision_recall(scores, labels)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(recall, RECALLS - 1e-12)  # 3 of 10 must count as a recall of 0.3
    return envelope[first]


def points(precision: np.ndarray) -> str:
    """The curve for an SVG polyline in a square of 100 x 100, precision 1 at the top."""
    pairs = zip(100 * RECALLS, 100 * (1 - precision), strict=True)
    return " ".join(f"{x:.0f},{y:.1f}" for x, y in pairs)


def class_curves(
    found: Mapping[tuple[str, int], np.ndarray],
    labels: np.ndarray,
    names: Sequence[str],
    order: Sequence[int],
    rule: str,
) -> list[dict]:
    """Per class, in this order, its name, positives, and a line per row: points and AP in percent.

    found: (row, seed) -> scores (N,K); labels (N,K); curves and AP are means over the seeds.
    Classes without positives have no curve and are left out.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for (row, _), scores in found.items():
        rows.setdefault(row, []).append(scores)
    labels = np.asarray(labels, bool)
    return [
        {
            "name": names[k],
            "positives": int(labels[:, k].sum()),
            "lines": [
                {"row": row, **mean_curve([s[:, k] for s in seeds], labels[:, k], rule)}
                for row, seeds in rows.items()
            ],
        }
        for k in order
        if labels[:, k].any()
    ]


def mean_curve(seeds: Sequence[np.ndarray], labels: np.ndarray, rule: str) -> dict:
    """{"points", "ap"} of one class, the means over its scores (N,) of several seeds."""
    precision = np.mean([best_precision(scores, labels) for scores in seeds], axis=0)
    aps = [metrics.average_precision(scores, labels, rule) for scores in seeds]
    return {"points": points(precision), "ap": 100 * float(np.mean(aps))}
