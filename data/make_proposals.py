"""Compute the region proposals of a prepared set from its pixels.

Runs on all cores, in shards: after an interruption the same command goes on. The result does not
depend on the number of workers. See data/README.md.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import multiprocessing
import os
import pathlib
import shutil

import cv2
import numpy as np
from prepared import natural, run_tool, start_worker, write_proposals
from proposals import edge_boxes, selective_search
from tqdm import tqdm

from python_layers.array_file import DataError, read_arrays
from python_layers.boxes import overlaps, scale_boxes
from python_layers.prepared_set import PreparedSet

SHARD = 50
VERSION = 1  # of the algorithms: raise it when the boxes change, so that sets are computed again
METHODS = ("selective-search", "selective-search-fast", "edgeboxes")
RECALL_BOXES = (16, 64, 200, 500)
RECALL_IOUS = (0.5, 0.7)


def read_forest(path):
    """The structured forest in a file; DataError if OpenCV finds none in it."""
    try:
        return cv2.ximgproc.createStructuredEdgeDetection(str(path))
    except cv2.error:
        raise DataError(
            f"{path}: expected a structured forest of OpenCV's ximgproc (model.yml.gz)"
        ) from None


def proposer(settings, model):
    """The method as a function image, limit -> boxes (n,5)."""
    if settings["method"] == "selective-search":
        return selective_search
    if settings["method"] == "selective-search-fast":
        return functools.partial(selective_search, spaces=(cv2.COLOR_BGR2Lab,))
    return functools.partial(edge_boxes, model=read_forest(model) if model else None)


def propose(method, image, settings):
    """Boxes of an image, computed on it shrunk to max_side, in its own frame."""
    height, width = image.shape[:2]
    shrink = min(1.0, (settings["max_side"] or np.inf) / max(height, width))
    if shrink == 1.0:
        return method(image, settings["boxes"])
    small = max(1, round(width * shrink)), max(1, round(height * shrink))
    boxes = method(cv2.resize(image, small, interpolation=cv2.INTER_AREA), settings["boxes"])
    return scale_boxes(boxes, small, (width, height))


def make_shard(folder, indices, path, meta, model):
    """Write the proposals of these images to `path`; returns their number."""
    prepared, settings = PreparedSet(folder), meta["settings"]
    method = proposer(settings, model)
    found = [propose(method, prepared.read_image(index), settings) for index in indices]
    write_proposals(path, found, settings["boxes"], meta)
    return len(indices)


def is_made(path, meta):
    """Whether the file exists, whole and computed with these very settings."""
    try:
        return read_arrays(path)[1] == meta
    except (FileNotFoundError, DataError):
        return False


def make_shards(folder, shards, meta, model, workers):
    """Make those of the shards, pairs (images, path), that are not there yet, on all cores."""
    missing = [(indices, path) for indices, path in shards if not is_made(path, meta)]
    total, to_do = (sum(len(indices) for indices, _ in some) for some in (shards, missing))
    context = multiprocessing.get_context("spawn")  # forking a process with OpenCV threads hangs
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, start_worker)
    with pool, tqdm(desc="proposals", total=total, initial=total - to_do, unit="image") as bar:
        try:
            jobs = [pool.submit(make_shard, folder, *shard, meta, model) for shard in missing]
            for job in concurrent.futures.as_completed(jobs):
                bar.update(job.result())
        finally:
            pool.shutdown(cancel_futures=True)


def make_proposals(folder, settings, model=None, workers=None):
    """Write proposals.arr of the prepared set; False if it was there, with the same settings."""
    prepared, target = PreparedSet(folder), pathlib.Path(folder, "proposals.arr")
    if model:
        forest = hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest()
        settings = {**settings, "model_sha256": forest}
    meta = {"images_sha256": prepared.images_sha256, "settings": {**settings, "version": VERSION}}
    if is_made(target, meta):
        return False
    parts = target.with_suffix(".parts")
    parts.mkdir(exist_ok=True)
    every = range(len(prepared))
    shards = [(every[i : i + SHARD], parts / f"{i:07d}.arr") for i in every[::SHARD]]
    make_shards(folder, shards, meta, model, workers)
    found = []
    for _, path in shards:
        arrays, _ = read_arrays(path)
        found += [b[:n] for b, n in zip(arrays["boxes"], arrays["counts"], strict=True)]
    write_proposals(target, found, settings["boxes"], meta)
    shutil.rmtree(parts)
    return True


def recall(prepared, limit):
    """Share of the ground-truth boxes met by one of the best `limit` proposals, per RECALL_IOUS."""
    best = []
    for index in range(len(prepared)):
        truth, boxes = prepared.truth(index), prepared.proposals(index, limit)
        if len(truth) and len(boxes):
            best.append(overlaps(truth[:, 1:], boxes).max(axis=1))
        else:
            best.append(np.zeros(len(truth)))
    best = np.concatenate(best)
    return [float((best >= iou).mean()) for iou in RECALL_IOUS]


def print_recall(folder):
    """Print the recall of the best RECALL_BOXES, and of all, against the set's ground truth."""
    prepared = PreparedSet(folder)
    stored = prepared.boxes_stored
    if not sum(len(prepared.truth(index)) for index in range(len(prepared))):
        raise DataError(f"{folder}: expected ground-truth boxes for --evaluate, got none")
    for limit in sorted({*(n for n in RECALL_BOXES if n < stored), stored}):
        values = zip(RECALL_IOUS, recall(prepared, limit), strict=True)
        text = ", ".join(f"{100 * value:.1f}% at IoU {iou}" for iou, value in values)
        print(f"{folder}: recall of the best {limit} boxes: {text}")


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--set", required=True, help="folder of the prepared set")
    parser.add_argument("--boxes", type=natural(1), default=500, help="boxes stored per image")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="see data/README.md")
    parser.add_argument("--model", help="structured forest for edgeboxes (model.yml.gz)")
    parser.add_argument("--max-side", type=natural(1), help="search on images shrunk to this side")
    parser.add_argument("--workers", type=natural(1), default=os.cpu_count(), help="processes")
    parser.add_argument("--evaluate", action="store_true", help="print the recall, too")
    options = parser.parse_args(argv)
    if options.model and options.method != "edgeboxes":
        parser.error("--model belongs to --method edgeboxes")
    settings = {"boxes": options.boxes, "method": options.method, "max_side": options.max_side}
    made = make_proposals(options.set, settings, options.model, options.workers)
    print(f"{options.set}: proposals {'made' if made else 'already made with these settings'}")
    if options.evaluate:
        print_recall(options.set)


if __name__ == "__main__":
    run_tool(main)
