"""Evaluate the teacher as a detector: VOC 2007 mAP, CorLoc and COCO's AP.

    python tools/test_det.py --dataset voc2007
    python tools/test_det.py --dataset voc2007 --scales 480 576 672 736 832 --mirror
    python tools/test_det.py --dataset voc2007 --set data/voc2007/train    # for CorLoc

The boxes are the set's proposals, scored by S (of several views the mean), class by class after
non-maximum suppression at IoU 0.4. They are kept next to the snapshot (.detections.npy), so that
a second call runs no net. CorLoc is usually told of the images trained on, mAP of the test images.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Sequence

import detection
import numpy as np
import predictions
import table
import test_cls
from errors import UserError, exit_code
from feeding import Feed, ViewPlan, read_net
from files import write_atomically
from options import check_dataset, natural
from rich import box
from rich.console import Console
from rich.table import Table
from run_files import last_weights

from python_layers.prepared_set import PreparedSet
from python_layers.roi_selection import select

NMS_IOU = 0.4
LEAST_SCORE = 1e-4


def truth_of(images: PreparedSet) -> detection.Truth:
    """The set's truth boxes; DataError-like UserError if it has none."""
    boxes = [images.truth(n) for n in range(len(images))]
    numbers = np.repeat(np.arange(len(images)), [len(rows) for rows in boxes])
    if not len(numbers):
        raise UserError(f"{images.folder}: expected truth boxes to evaluate with, got none")
    difficult = np.concatenate([images.difficult(n) for n in range(len(images))])
    rows = np.column_stack([numbers, np.concatenate(boxes)])
    return detection.Truth(rows, difficult, images.sizes, len(images.classes))


def detections_of(image: int, boxes: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Rows (d,7) of one image after non-maximum suppression; boxes (n, >= 4), s (n,K).

    Boxes of a class below LEAST_SCORE are left out, but never the best one, which CorLoc needs.
    """
    rows = []
    for k, scores in enumerate(s.T):
        near = np.flatnonzero(scores >= min(LEAST_SCORE, scores.max()))
        kept = near[select(boxes[near, :4], scores[near], NMS_IOU, len(near))]
        head = np.broadcast_to([image, k], (len(kept), 2))
        rows.append(np.column_stack([head, scores[kept], boxes[kept, :4]]))
    return np.concatenate(rows).astype(np.float32)


def detect(feed: Feed, title: str) -> np.ndarray:
    """Detections (D,7) in every image of the set; S is the mean over the views.

    UserError if the net takes no proposals or has no blob S of this size.
    """
    expected = f"blobs rois and S (N*{feed.boxes}, {len(feed.set.classes)})"
    if not feed.boxes or "S" not in feed.net.blobs:
        raise UserError(f'net "{feed.net.name}": expected {expected} to detect with')
    found, total = [], 0.0
    for number, (images, _) in enumerate(feed.forward(title)):
        s = feed.net.blobs["S"].data.reshape(len(images), feed.boxes, -1)
        first = number % len(feed.views) == 0
        total = s.astype(np.float64) if first else total + s
        if (number + 1) % len(feed.views):
            continue
        for n, image in enumerate(images):
            boxes = feed.set.proposals(image, feed.boxes)
            if not len(boxes):  # the data layer shows the whole image then
                boxes = np.array([[0, 0, *feed.set.sizes[image] - 1]])
            found.append(detections_of(image, boxes, total[n, : len(boxes)] / len(feed.views)))
    return np.concatenate(found)


def kept_detections(
    candidate: test_cls.Candidate, batch_size: int | None, view_plan: ViewPlan
) -> tuple[np.ndarray, PreparedSet]:
    """(detections (D,7), the set) of a snapshot, from beside it or from its net."""
    if not candidate.weights.is_file():
        raise UserError(f"{candidate.weights}: no such weights file")
    images = PreparedSet(read_net(candidate.model, candidate.folder)[1]["source"])
    tag = view_plan.tag()
    path = candidate.weights.with_suffix(f".{tag}.detections.npy" if tag else ".detections.npy")
    origin = predictions.origin_of(candidate.model, candidate.weights, images, view_plan)
    origin |= {"nms_iou": NMS_IOU, "least_score": LEAST_SCORE}
    found = predictions.kept(path, origin)
    if found is None or found.ndim != 2 or found.shape[1] != 7:
        title = f"{candidate.row} seed {candidate.seed}"
        feed = Feed(candidate.model, candidate.weights, candidate.folder, batch_size, view_plan)
        found = detect(feed, title)
        predictions.keep(path, found, origin)
    return found, images


def find_candidates(options: argparse.Namespace, runs: pathlib.Path) -> list[test_cls.Candidate]:
    """The teacher of every seed, or what the options name."""
    if not options.model:
        check_dataset(options.dataset)
    model = pathlib.Path(options.model or f"models/{options.dataset}/wsddn/test.prototxt")
    name = options.name or table.TEACHER
    if options.weights:
        paths = [pathlib.Path(path) for path in options.weights]
        return [test_cls.Candidate(name, n, model, w, options.folder) for n, w in enumerate(paths)]
    seeds = test_cls.seed_folders(runs)
    if not seeds:
        raise UserError(f"no snapshot *_iter_<n>.caffemodel in {runs}/seed<k>/wsddn; train first")
    return [
        test_cls.Candidate(name, n, model, last_weights(folder / "wsddn"), options.folder)
        for n, folder in seeds
    ]


def known(value: float) -> float | None:
    """A number for JSON: None for nan."""
    return None if math.isnan(value) else value


def quoted(dataset: str) -> dict:
    """{"source", "rows": {row: {column: percent}}} that papers print for this data set."""
    numbers = json.loads(table.PAPER.read_text(encoding="utf-8"))["detection"]
    return numbers.get(dataset, {"source": "", "rows": {}})


def build(options: argparse.Namespace, found: list[dict], images: PreparedSet, plan) -> dict:
    """The result as JSON holds it; found: one dict per seed."""
    values = np.array([[run["values"][c] for c in detection.COLUMNS] for run in found])
    spread = values.std(axis=0, ddof=1) if len(found) > 1 else np.full(values.shape[1], np.nan)
    notes = [
        f"{len(images)} images of {images.folder.as_posix()}, {len(images.classes)} classes",
        f"boxes: the set's proposals, scored by S, NMS at IoU {NMS_IOU:g}, S >= {LEAST_SCORE:g}",
        "mAP (VOC 2007), CorLoc: IoU >= 0.5; AP: pycocotools, IoU 0.5 to 0.95, best 100 per class",
        *plan.describe(),
    ]
    if len(found) > 1:
        notes.append(f"mean±sample standard deviation over {len(found)} seeds")
    return {
        "dataset": options.dataset,
        "row": options.name or table.TEACHER,
        "columns": list(detection.COLUMNS),
        "classes": images.classes,
        "mean": dict(zip(detection.COLUMNS, map(known, values.mean(axis=0)), strict=True)),
        "std": dict(zip(detection.COLUMNS, map(known, spread), strict=True)),
        "runs": [
            {
                **run,
                "values": {c: known(v) for c, v in run["values"].items()},
                "classes": {name: [*map(known, row)] for name, row in run["classes"].items()},
            }
            for run in found
        ],
        "quoted": quoted(options.dataset),
        "notes": notes,
    }


def print_result(result: dict, console: Console) -> None:
    """The table in the terminal, with what it means under it."""
    title = f"{result['dataset']}, detection, percent"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    shown.add_column("")
    for column in result["columns"]:
        shown.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    cells = [table.cell(result["mean"][c], result["std"][c]) for c in result["columns"]]
    shown.add_row(result["row"], *cells)
    for name, values in result["quoted"]["rows"].items():
        cells = [table.cell(values.get(c)) for c in result["columns"]]
        shown.add_row(f"{name} (quoted)", *cells, style="dim")
    console.print(shown)
    for text in result["notes"]:
        console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)


def run(options: argparse.Namespace) -> dict:
    """Evaluate, print, write JSON; returns the result."""
    test_cls.set_device(options.gpu)
    runs = pathlib.Path(options.runs or f"out/{options.dataset}")
    plan = ViewPlan(tuple(options.scales), options.mirror)
    found = []
    for candidate in find_candidates(options, runs):
        detections, images = kept_detections(candidate, options.batch_size, plan)
        values, classes = detection.evaluate(detections, truth_of(images))
        weights = candidate.weights.as_posix()
        found.append(
            {"seed": candidate.seed, "weights": weights, "values": values, "classes": classes}
        )
    result = build(options, found, images, plan)
    print_result(result, Console())
    out = pathlib.Path(options.json or runs / "detection.json")
    write_atomically(out, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())
    print(f"wrote {out}", file=sys.stderr)
    return result


def parser() -> argparse.ArgumentParser:
    """The command line of test_det.py."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--dataset", default="demo", help="(default: %(default)s)")
    made.add_argument("--runs", help="run folder with seed<k>/ (default: out/<dataset>)")
    made.add_argument("--set", dest="folder", help="prepared set (default: the test net's)")
    made.add_argument("--model", help="test net (default: models/<dataset>/wsddn/test.prototxt)")
    made.add_argument("--weights", nargs="+", help="one file per seed (default: from the runs)")
    made.add_argument("--name", help="of the row (default: T-WDet)")
    made.add_argument("--batch-size", type=natural, help="images per forward pass")
    made.add_argument(
        "--scales", type=natural, nargs="+", default=(), metavar="S",
        help="sizes of the images, such as 480 576 672 736 832 (default: the test net's one)",
    )  # fmt: skip
    made.add_argument("--mirror", action="store_true", help="each image also left to right")
    made.add_argument("--json", help="(default: <runs>/detection.json)")
    made.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("test_det.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
