"""Recall of a set's proposals against its ground truth, computed by pycocotools."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tqdm import tqdm

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet

RECALL_BOXES = (16, 64, 200, 500)
RECALL_IOUS = (0.5, 0.7)
CHUNK = 500  # images: COCOeval keeps some hundred bytes for each box


def entries(boxes, image, **columns):
    """COCO's dicts of boxes (n, >= 4) in inclusive corners, all of one category."""
    x1, y1, x2, y2 = boxes[:, :4].T.astype(float)
    widths = np.stack([x1, y1, x2 - x1 + 1, y2 - y1 + 1], axis=1).tolist()
    same = {"image_id": image, "category_id": 1}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [
        {**same, "bbox": box, "area": box[2] * box[3], **row}
        for box, row in zip(widths, rows, strict=True)
    ]


def coco_of(indices, annotations):
    """pycocotools' COCO of these entries, numbered from 1 (0 means "no match" in COCOeval)."""
    coco = COCO()
    annotations = [{"id": number, **entry} for number, entry in enumerate(annotations, 1)]
    images, categories = [{"id": index} for index in indices], [{"id": 1, "name": "object"}]
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco


def matches(prepared, indices, limits):
    """(matched (T,L), truth boxes) of these images, for T RECALL_IOUS and L limits.

    Each truth box that is not difficult goes to one proposal at most, the best one first.
    """
    truth, boxes = [], []
    for index in indices:
        found, difficult = prepared.proposals(index, limits[-1]), prepared.difficult(index)
        truth += entries(prepared.truth(index)[:, 1:], index, iscrowd=difficult.tolist())
        boxes += entries(found, index, score=range(len(found), 0, -1))  # their order is the set's
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco_of(indices, truth), coco_of(indices, boxes), "bbox")
        parameters = evaluation.params
        parameters.iouThrs, parameters.maxDets = np.array(RECALL_IOUS), [limits[-1]]
        parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    matched, total = np.zeros((len(RECALL_IOUS), len(limits)), int), 0
    for image in filter(None, evaluation.evalImgs):
        total += int((image["gtIgnore"] == 0).sum())
        met = (image["dtMatches"] > 0) & ~image["dtIgnore"].astype(bool)
        matched += np.stack([met[:, :limit].sum(axis=1) for limit in limits], axis=1)
    return matched, total


def recall(prepared, limits):
    """Share of the truth boxes met by the best boxes: (T,L) for T RECALL_IOUS and L limits.

    DataError without ground truth.
    """
    matched, total = 0, 0
    every = range(len(prepared))
    with tqdm(desc="recall", total=len(prepared), unit="image") as bar:
        for first in every[::CHUNK]:
            indices = every[first : first + CHUNK]
            some, count = matches(prepared, indices, limits)
            matched, total = matched + some, total + count
            bar.update(len(indices))
    if not total:
        raise DataError(f"{prepared.folder}: expected ground-truth boxes for --evaluate, got none")
    return matched / total


def print_recall(folder):
    """Print the recall of the best RECALL_BOXES, and of all, against the set's ground truth."""
    prepared = PreparedSet(folder)
    stored = prepared.boxes_stored
    limits = sorted({*(n for n in RECALL_BOXES if n < stored), stored})
    for limit, values in zip(limits, recall(prepared, limits).T, strict=True):
        text = ", ".join(
            f"{100 * value:.1f}% at IoU {iou}"
            for iou, value in zip(RECALL_IOUS, values, strict=True)
        )
        print(f"{folder}: recall of the best {limit} boxes: {text}")
