"""Recall by pycocotools against a matching done by hand."""

import numpy as np
import pytest
import recall
from prepared import write_proposals, write_set

from python_layers.array_file import DataError
from python_layers.boxes import overlaps
from python_layers.prepared_set import PreparedSet
from tests.prepared_sets import random_boxes

LIMITS = [1, 3, 9]


def make_scored_set(folder, difficult):
    """Eleven images with none to four truth boxes, nine proposals each, some near the truth."""
    rng, size = np.random.default_rng(4), (60, 47)
    truth, boxes, marks = [], [], []
    for number in range(11):
        truth.append(np.pad(random_boxes(rng, number % 5, *size)[:, :4], ((0, 0), (1, 0))))
        near = truth[-1][:, 1:] + rng.integers(-3, 4, (number % 5, 4))
        near = np.clip(near, 0, [59, 46, 59, 46])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        found = random_boxes(rng, 9, *size)
        found[: number % 5, :4] = near
        boxes.append(rng.permutation(found).astype(np.float32))
        marks.append(rng.integers(0, 2, number % 5) if difficult else np.zeros(number % 5))
    names = [f"{number}.png" for number in range(11)]
    write_set(folder, folder, names, ["a"], [[1]] * 11, [size] * 11, truth, {}, marks)
    meta = {"images_sha256": PreparedSet(folder).images_sha256}
    write_proposals(folder / "proposals.arr", boxes, 9, meta)
    return truth, boxes, marks


def by_hand(truth, boxes, marks, limit, iou):
    """Best proposal first, each takes the free truth box that it meets best."""
    met = total = 0
    for some, found, mark in zip(truth, boxes, marks, strict=True):
        total += int((mark == 0).sum())
        table = overlaps(found[:limit], some[:, 1:])
        free = mark == 0
        for row in table:
            good = np.where(free & (row >= iou), row, -1)
            if len(good) and good.max() > 0:
                free[good.argmax()] = False
                met += 1
    return met / total


@pytest.mark.parametrize("difficult", [False, True])
def test_recall_is_that_of_a_matching_by_hand(tmp_path, monkeypatch, difficult):
    monkeypatch.setattr(recall, "CHUNK", 4)
    made = make_scored_set(tmp_path, difficult)
    found = recall.recall(PreparedSet(tmp_path), LIMITS)
    wanted = [[by_hand(*made, limit, iou) for limit in LIMITS] for iou in (0.5, 0.7)]
    np.testing.assert_allclose(found, wanted)
    assert 0 < found[1, 0] < found[1, 1] < found[0, 2] < 1


def test_it_is_printed_for_some_numbers_of_boxes(tmp_path, monkeypatch, capsys):
    make_scored_set(tmp_path, False)
    monkeypatch.setattr(recall, "RECALL_BOXES", (3, 16))
    recall.print_recall(tmp_path)
    values = recall.recall(PreparedSet(tmp_path), [3, 9]).T * 100
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}: recall of the best {limit} boxes: {half:.1f}% at IoU 0.5, {more:.1f}% at "
        "IoU 0.7"
        for limit, (half, more) in zip((3, 9), values, strict=True)
    ]


def test_without_ground_truth_there_is_no_recall(tmp_path):
    none = [np.zeros((0, 5), np.float32)]
    write_set(tmp_path, tmp_path, ["a.png"], ["a"], [[1]], [(5, 6)], none, {})
    meta = {"images_sha256": PreparedSet(tmp_path).images_sha256}
    write_proposals(tmp_path / "proposals.arr", none, 9, meta)
    with pytest.raises(DataError, match="expected ground-truth boxes for --evaluate, got none"):
        recall.recall(PreparedSet(tmp_path), [9])
