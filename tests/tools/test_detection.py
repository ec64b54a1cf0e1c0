"""detection.py by hand, against a plain loop over thresholds, and against pycocotools."""

import detection
import numpy as np
import pytest

SIZES = np.array([(90, 70)] * 6)


def iou(a, b):
    """Intersection over union of two inclusive boxes, pixel by pixel."""
    pixels = [{(x, y) for x in range(int(c[0]), int(c[2]) + 1)
               for y in range(int(c[1]), int(c[3]) + 1)} for c in (a, b)]  # fmt: skip
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def sample(seed, images=6, classes=4, empty=(), digits=2, hard=0.0):
    """Truth boxes that are far from each other, shaken detections of them, and false alarms."""
    random = np.random.default_rng(seed)
    truth, detections = [], []
    for image in range(images):
        for cell in random.permutation(12)[:7]:
            k = random.integers(classes)
            corner = np.array([cell % 4, cell // 4]) * 22 + 2
            side = random.integers(9, 15, 2)
            box = [*corner, *(corner + side)]
            if k not in empty:
                truth.append([image, k, *box])
            for _ in range(random.integers(0, 3)):
                shaken = box + random.integers(-2, 3, 4)
                detections.append([image, k, np.round(random.random(), digits), *shaken])
    return np.array(detections, np.float32), detection.Truth(
        np.array(truth, np.float32), (random.random(len(truth)) < hard).astype(np.uint8),
        SIZES[:images], classes,
    )  # fmt: skip


def loop_hits(detections, boxes, difficult):
    """1, 0 or None of each detection, best score first, by the words of the VOC kit."""
    verdict, taken = {}, set()
    for d in sorted(range(len(detections)), key=lambda n: (-detections[n][2], n)):
        best, place = 0.0, None
        for t, row in enumerate(boxes):
            if row[0] == detections[d][0] and iou(detections[d][3:], row[2:]) > best:
                best, place = iou(detections[d][3:], row[2:]), t
        if best < 0.5:
            verdict[d] = 0
        elif difficult[place]:
            verdict[d] = None
        else:
            verdict[d] = int(place not in taken)
            taken.add(place)
    return verdict


def loop_precisions(detections, boxes, difficult):
    """(11-point, all-point) AP straight from the definition, one pass per threshold."""
    verdict = loop_hits(detections, boxes, difficult)
    positives = sum(1 for hard in difficult if not hard)
    points = []
    for threshold in sorted({float(row[2]) for row in detections}, reverse=True):
        counted = [verdict[n] for n, row in enumerate(detections)
                   if row[2] >= threshold and verdict[n] is not None]  # fmt: skip
        if counted:
            points.append((sum(counted), sum(counted) / len(counted)))
    eleven = [max((p for hits, p in points if 10 * hits >= r * positives), default=0)
              for r in range(11)]  # fmt: skip
    area, before = 0.0, 0
    for hits, _ in points:
        area += (hits - before) / positives * max(p for h, p in points if h >= hits)
        before = hits
    return np.mean(eleven), area


@pytest.mark.parametrize("digits", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_against_a_loop(seed, digits):
    detections, truth = sample(seed, digits=digits, hard=0.2)
    for k in range(4):
        mine = detections[detections[:, 1] == k]
        boxes, difficult = truth.of_class(k)
        found = detection.average_precisions(mine, boxes, difficult)
        assert found == pytest.approx(loop_precisions(mine, boxes, difficult), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_of_pycocotools(seed):
    detections, truth = sample(seed, digits=5)
    evaluation = detection.coco_evaluation(detections, truth)
    for k in range(4):
        mine = detections[detections[:, 1] == k]
        hits = detection.find_hits(mine, *truth.of_class(k))
        theirs = {}
        for image in evaluation.evalImgs:
            if image and image["category_id"] == k + 1 and image["aRng"] == [0, 1e10]:
                matched = image["dtMatches"][0] > 0  # at IoU 0.5
                for score, hit in zip(image["dtScores"], matched, strict=True):
                    theirs[image["image_id"] - 1, round(float(score), 5)] = int(hit)
        ours = {(int(r[0]), round(float(r[2]), 5)): h for r, h in zip(mine, hits, strict=True)}
        assert ours == theirs


@pytest.mark.parametrize("seed", range(3))
def test_coco_precision_is_the_101_point_mean_of_our_curve(seed):
    detections, truth = sample(seed, digits=5, empty=[1])
    means = []
    for k in (0, 2, 3):
        mine = detections[detections[:, 1] == k]
        boxes, difficult = truth.of_class(k)
        right, seen = detection.ranked_hits(mine[:, 2], detection.find_hits(mine, boxes, difficult))
        points = right / seen
        curve = [max(points[right / len(boxes) >= r], default=0)
                 for r in np.linspace(0, 1, 101)]  # fmt: skip
        means.append(np.mean(curve))
    ap, ap50, ap75 = detection.coco_precisions(detections, truth)
    assert ap50 == pytest.approx(np.mean(means), abs=1e-6)
    assert ap50 > ap75 > 0
    assert ap50 > ap > 0


def test_a_class_without_truth_is_left_out_and_one_without_detections_is_zero():
    detections, truth = sample(1, empty=[2])
    detections = detections[detections[:, 1] != 3]
    values, classes = detection.evaluate(detections, truth)
    for name in ("AP 11-point", "AP all-point", "CorLoc"):
        assert np.isnan(classes[name]).tolist() == [False, False, True, False]
        assert classes[name][3] == 0
    assert values["mAP all-point"] == pytest.approx(np.nanmean(classes["AP all-point"]))
    assert set(values) == set(detection.COLUMNS)
    nothing, _ = detection.evaluate(detections[:0], truth)
    assert set(nothing.values()) == {0.0}
    no_truth = detection.Truth(truth.boxes[:0], truth.difficult[:0], SIZES, 4)
    assert np.isnan([*detection.evaluate(detections, no_truth)[0].values()]).all()


def test_exactly_half_is_enough_and_the_second_hit_is_wrong():
    boxes = np.array([[0, 0, 10, 10, 19, 19]], np.float32)
    half, twin = [0, 0, 0.9, 10, 10, 19, 14], [0, 0, 0.8, 10, 10, 19, 19]
    less = [0, 0, 0.7, 10, 10, 19, 13]
    rows = np.array([less, half, twin], np.float32)
    assert detection.find_hits(rows, boxes, np.array([False])).tolist() == [0, 1, 0]
    assert detection.find_hits(rows, boxes, np.array([True])).tolist() == [0, -1, -1]
    elsewhere = rows + np.array([1, 0, 0, 0, 0, 0, 0], np.float32)
    assert detection.find_hits(elsewhere, boxes, np.array([False])).tolist() == [0, 0, 0]


def test_corloc_by_hand():
    boxes = np.array([[0, 0, 5, 5, 14, 14], [0, 0, 40, 5, 49, 14], [1, 0, 5, 5, 14, 14],
                      [2, 0, 5, 5, 14, 14], [3, 0, 5, 5, 14, 14]], np.float32)  # fmt: skip
    rows = np.array([[0, 0, 0.2, 5, 5, 14, 14], [0, 0, 0.3, 40, 5, 48, 14],  # right
                     [1, 0, 0.9, 30, 5, 39, 14], [1, 0, 0.8, 5, 5, 14, 14],  # wrong
                     [4, 0, 0.9, 5, 5, 14, 14]], np.float32)  # fmt: skip
    difficult = np.array([0, 0, 0, 0, 1], bool)
    # images 0, 1 and 2 have a box that counts; image 2 has no detection
    assert detection.localised(rows, boxes, difficult) == pytest.approx(1 / 3)
