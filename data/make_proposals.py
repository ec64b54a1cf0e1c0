"""Compute the region proposals of a prepared set from its pixels, or import them.

Computing runs on all cores, in shards: after an interruption the same command goes on. The result
does not depend on the number of workers. See data/README.md.
"""

import argparse
import concurrent.futures
import concurrent.futures.process
import functools
import hashlib
import multiprocessing
import os
import pathlib
import shutil

import cv2
import numpy as np
from convert_list import frame_size
from import_proposals import imported, open_source
from prepared import natural, own_folder, run_tool, start_worker, write_proposals
from proposals import edge_boxes, selective_search
from recall import print_recall
from tqdm import tqdm

from python_layers.array_file import DataError, read_arrays
from python_layers.boxes import scale_boxes
from python_layers.prepared_set import PreparedSet

SHARD = 50
VERSION = 1  # of the algorithms: raise it when the boxes change, so that sets are computed again
METHODS = ("selective-search", "selective-search-fast", "edgeboxes")


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
    if settings.get("score") == "one":
        for boxes in found:
            boxes[:, 4] = 1
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
        except concurrent.futures.process.BrokenProcessPool:
            raise DataError(
                f"{folder}: a worker was killed, most likely for want of memory; run the same "
                "command again, with fewer --workers: it goes on with what is finished"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def file_sha256(path):
    """The SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def boxes_of(shards):
    """The boxes of each image of the finished shards, in order."""
    for _, path in shards:
        arrays, _ = read_arrays(path)
        yield from (b[:n] for b, n in zip(arrays["boxes"], arrays["counts"], strict=True))


def make_proposals(folder, settings, model=None, workers=None):
    """Write proposals.arr of the prepared set; False if it was there, with the same settings."""
    prepared, target = PreparedSet(folder), pathlib.Path(folder, "proposals.arr")
    if model:
        if not pathlib.Path(model).is_file():
            raise DataError(
                f"{model}: no such file: expected a structured forest (model.yml.gz); "
                "data/README.md says where it is, edgeboxes goes without one, too"
            )
        settings = {**settings, "model_sha256": file_sha256(model)}
    meta = {"images_sha256": prepared.images_sha256, "settings": {**settings, "version": VERSION}}
    with own_folder(folder):
        if is_made(target, meta):
            return False
        parts = target.with_suffix(".parts")
        parts.mkdir(exist_ok=True)
        every = range(len(prepared))
        shards = [(every[i : i + SHARD], parts / f"{i:07d}.arr") for i in every[::SHARD]]
        make_shards(folder, shards, meta, model, workers)
        write_proposals(target, boxes_of(shards), settings["boxes"], meta, len(prepared))
        shutil.rmtree(parts)
    return True


def import_proposals(folder, path, options):
    """Write proposals.arr from somebody's file; False if it was there, from the same file."""
    prepared, target = PreparedSet(folder), pathlib.Path(folder, "proposals.arr")
    source = open_source(path, len(prepared.classes), options)
    settings = {**options, "method": "import", "sha256": file_sha256(path)}
    meta = {"images_sha256": prepared.images_sha256, "settings": settings}
    with own_folder(folder):
        if is_made(target, meta):
            return False
        boxes = tqdm(imported(prepared, source, path, options), "import", len(prepared))
        write_proposals(target, boxes, options["boxes"], meta, len(prepared))
    return True


def parse(argv):
    """The options; those that do not belong together end the program."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python data/make_proposals.py --set data/coco/train --boxes 500",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--set", required=True, help="folder of the prepared set")
    parser.add_argument("--boxes", type=natural(1), default=500, help="boxes stored per image")
    parser.add_argument(
        "--score", choices=("own", "one"), default="own", help="one: each box counts alike"
    )
    parser.add_argument("--evaluate", action="store_true", help="print the recall, too")
    compute = parser.add_argument_group("to compute them")
    compute.add_argument("--method", choices=METHODS, default=METHODS[0], help="see data/README.md")
    compute.add_argument("--model", help="structured forest for edgeboxes (model.yml.gz)")
    compute.add_argument("--max-side", type=natural(1), help="search on images shrunk to this side")
    compute.add_argument("--workers", type=natural(1), default=os.cpu_count(), help="processes")
    source = parser.add_argument_group("to import them")
    source.add_argument("--import", dest="source", metavar="FILE", help=".mat, .json or a list")
    source.add_argument("--annotations", metavar="FILE", help=".json: the instances its ids are of")
    source.add_argument("--mat-base", type=int, choices=(0, 1), default=1, help=".mat: first pixel")
    source.add_argument("--frame", type=frame_size, help="list: WxH that its boxes refer to")
    source.add_argument(
        "--allow-missing", action="store_true", help="images may be without boxes in FILE"
    )
    options = parser.parse_args(argv)
    if options.model and options.method != "edgeboxes":
        parser.error("--model belongs to --method edgeboxes")
    if options.source and (options.model or options.max_side):
        parser.error("--model and --max-side belong to computing, not to --import")
    if not options.source and (options.annotations or options.frame or options.allow_missing):
        parser.error("--annotations, --frame and --allow-missing belong to --import")
    return options


def main(argv):
    options = parse(argv)
    if options.source:
        settings = {"boxes": options.boxes, "score": options.score, "base": options.mat_base}
        settings |= {"annotations": options.annotations, "allow_missing": options.allow_missing}
        settings["frame"] = options.frame and [*options.frame]  # as the stored JSON has it
        made = import_proposals(options.set, options.source, settings)
    else:
        settings = {"boxes": options.boxes, "method": options.method, "max_side": options.max_side}
        settings |= {"score": "one"} if options.score == "one" else {}
        made = make_proposals(options.set, settings, options.model, options.workers)
    print(f"{options.set}: proposals {'made' if made else 'already made with these settings'}")
    if options.evaluate:
        print_recall(options.set)


if __name__ == "__main__":
    run_tool(main)
