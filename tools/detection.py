"""Detection metrics: VOC 2007 average precision, CorLoc, and COCO's AP through pycocotools.

Boxes are inclusive pixel corners in the image as stored (python_layers/boxes.py).
    detections (D,7): image, class, score, x1, y1, x2, y2
    truth (M,6): image, class, x1, y1, x2, y2
    difficult (M,): 1 for a truth box that counts neither as found nor as missed

Conventions: a detection belongs to the truth box of its image and class that it overlaps most; it
is right if IoU >= 0.5 and no better detection has taken that box (VOC 2007 development kit).
Equal scores enter the ranking as one threshold, so their order never matters for the curve. A class
without truth boxes has no AP and no CorLoc; both are left out of the means.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from python_layers.boxes import overlaps

IOU = 0.5
COLUMNS = ("mAP 11-point", "mAP all-point", "CorLoc", "AP", "AP50", "AP75")


@dataclass(frozen=True)
class Truth:
    """The truth boxes of a set: boxes (M,6), difficult (M,), sizes (N,2) width and height."""

    boxes: np.ndarray
    difficult: np.ndarray
    sizes: np.ndarray
    classes: int

    def of_class(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """boxes (m,6) and difficult (m,) bool of one class."""
        mine = self.boxes[:, 1] == k
        return self.boxes[mine], self.difficult[mine].astype(bool)


def by_image(rows: np.ndarray) -> dict[int, np.ndarray]:
    """Image number -> indices of the rows (n, >= 1) whose first column it is."""
    order = np.argsort(rows[:, 0], kind="stable")
    images, starts = np.unique(rows[order, 0], return_index=True)
    groups = np.split(order, starts[1:]) if len(rows) else []
    return dict(zip(images.astype(int).tolist(), groups, strict=True))


def find_hits(detections: np.ndarray, boxes: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """What each detection (D,7) of one class is: 1 right, 0 wrong, -1 not counted; (D,)."""
    found = np.zeros(len(detections), int)
    truth = by_image(boxes)
    for image, mine in by_image(detections).items():
        if image not in truth:
            continue
        wanted = truth[image]
        shared = overlaps(detections[mine, 3:], boxes[wanted, 2:])
        taken = np.zeros(len(wanted), bool)
        for row in np.argsort(-detections[mine, 2], kind="stable"):
            best = shared[row].argmax()
            if shared[row, best] < IOU:
                continue
            if difficult[wanted[best]]:
                found[mine[row]] = -1
            elif not taken[best]:
                taken[best], found[mine[row]] = True, 1
    return found


def ranked_hits(scores: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of those with at least each distinct score, falling, are right, and how many are."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return np.cumsum(hits[order])[last_of_tie], last_of_tie + 1


def average_precisions(
    detections: np.ndarray, boxes: np.ndarray, difficult: np.ndarray
) -> tuple[float, float]:
    """(11-point AP, all-point AP) of one class in 0..1; nan without truth boxes that count.

    11-point: mean over r = 0, 0.1, .. 1 of the best precision at any recall >= r (0 if there is
    none); all-point: the area under the precision envelope.
    """
    positives = int((~difficult).sum())
    if not positives:
        return float("nan"), float("nan")
    found = find_hits(detections, boxes, difficult)
    if not (found >= 0).any():
        return 0.0, 0.0
    right, seen = ranked_hits(detections[found >= 0, 2], found[found >= 0])
    envelope = np.maximum.accumulate((right / seen)[::-1])[::-1]
    # 10 hits >= r positives in whole numbers: 0.3 has no exact binary form.
    first = [int(np.argmax(10 * right >= r * positives)) for r in range(11)]
    reached = [10 * right[-1] >= r * positives for r in range(11)]
    eleven = np.mean(
        [envelope[at] if there else 0 for at, there in zip(first, reached, strict=True)]
    )
    return float(eleven), float(np.sum(np.diff(right, prepend=0) * envelope) / positives)


def localised(detections: np.ndarray, boxes: np.ndarray, difficult: np.ndarray) -> float:
    """CorLoc of one class in 0..1: the share of the images with a truth box of it whose best
    detection of it overlaps one by IoU >= 0.5; nan without such images."""
    counted = boxes[~difficult]
    truth, mine = by_image(counted), by_image(detections)
    right = []
    for image, wanted in truth.items():
        rows = mine.get(image, np.empty(0, int))
        best = detections[rows[[detections[rows, 2].argmax()]], 3:] if len(rows) else None
        right.append(best is not None and overlaps(best, counted[wanted, 2:]).max() >= IOU)
    return float(np.mean(right)) if right else float("nan")


def coco_ground_truth(truth: Truth) -> COCO:
    """The truth boxes as pycocotools has them; difficult ones as crowds, which it ignores."""
    corners = truth.boxes[:, 2:].astype(float)
    sides = corners[:, 2:] - corners[:, :2] + 1
    annotations = [
        {
            "id": number + 1,
            "image_id": int(image) + 1,
            "category_id": int(k) + 1,
            "bbox": [*corner[:2], *side],
            "area": float(side.prod()),
            "iscrowd": int(hard),
        }
        for number, ((image, k), corner, side, hard) in enumerate(
            zip(truth.boxes[:, :2], corners, sides, truth.difficult, strict=True)
        )
    ]
    made = COCO()
    made.dataset = {
        "info": {},
        "images": [
            {"id": n + 1, "width": int(w), "height": int(h)} for n, (w, h) in enumerate(truth.sizes)
        ],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(truth.classes)],
        "annotations": annotations,
    }
    made.createIndex()
    return made


def coco_evaluation(detections: np.ndarray, truth: Truth) -> COCOeval:
    """COCO's evaluation of the detections, accumulated and summarised; quiet."""
    rows = np.column_stack(
        [
            detections[:, 0] + 1,
            detections[:, 3:5],
            detections[:, 5:7] - detections[:, 3:5] + 1,
            detections[:, 2],
            detections[:, 1] + 1,
        ]
    ).astype(float)
    with contextlib.redirect_stdout(io.StringIO()):
        ground = coco_ground_truth(truth)
        evaluation = COCOeval(ground, ground.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def coco_precisions(detections: np.ndarray, truth: Truth) -> tuple[float, float, float]:
    """(AP at IoU 0.5:0.95, AP50, AP75) in 0..1 over all sizes, the best 100 of an image and class.

    nan without truth boxes (pycocotools' -1).
    """
    if not len(detections) or truth.difficult.all():
        return (float("nan"),) * 3 if truth.difficult.all() else (0.0,) * 3
    values = coco_evaluation(detections, truth).stats[:3]
    return tuple(float(value) if value >= 0 else float("nan") for value in values)


def evaluate(detections: np.ndarray, truth: Truth) -> tuple[dict[str, float], dict]:
    """(COLUMNS in percent, {"AP 11-point" and so on: list of K}); nan where there is no number."""
    per_class = []
    for k in range(truth.classes):
        mine = detections[detections[:, 1] == k]
        boxes, difficult = truth.of_class(k)
        precisions = average_precisions(mine, boxes, difficult)
        per_class.append((*precisions, localised(mine, boxes, difficult)))
    table = 100 * np.array(per_class).T
    known = ~np.isnan(table)
    means = [
        row[k].mean() if k.any() else float("nan") for row, k in zip(table, known, strict=True)
    ]
    coco = [100 * value for value in coco_precisions(detections, truth)]
    names = ("AP 11-point", "AP all-point", "CorLoc")
    values = {name: float(v) for name, v in zip(COLUMNS, [*means, *coco], strict=True)}
    return values, {name: row.tolist() for name, row in zip(names, table, strict=True)}
