"""What the tools here share: options, and writing the sets of python_layers/prepared_set.py."""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import signal
import sys

import cv2
import numpy as np
from tqdm import tqdm

from python_layers.array_file import DataError, atomic_file, write_arrays
from python_layers.boxes import check_boxes
from python_layers.prepared_set import decode_image


def run_tool(main):
    """Call main(argv) as a command: a user's mistake is one line on stderr and exit code 1."""
    try:
        main(sys.argv[1:])
    except (DataError, OSError) as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: interrupted")


def start_worker():
    """Start a worker process: its parent handles Ctrl-C, and a process per core is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def natural(least):
    """An argparse type: an integer >= least."""

    def parse(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected an integer >= {least}, got {text!r}")
        return int(text)

    return parse


def read_text(path):
    """The text of a UTF-8 file; DataError for another encoding."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: expected text in UTF-8; convert the file") from None


def image_size(path):
    """(width, height) of an image file, decoded in full to be sure that it can be."""
    image = decode_image(path)
    return image.shape[1], image.shape[0]


def image_sizes(paths, skip_unreadable):
    """(width, height) of each image; None for an unreadable one if those may be skipped."""

    def size(path):
        try:
            return image_size(path)
        except DataError as error:
            if not skip_unreadable:
                raise
            tqdm.write(f"left out: {error}")
            return None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return list(tqdm(pool.map(size, paths), "images", len(paths), unit="image"))
        finally:
            pool.shutdown(cancel_futures=True)


def check_writable(images):
    """Paths with a line break would break images.txt."""
    for image in images:
        if not image or image.splitlines() != [image]:
            raise DataError(f"image path {image!r}: expected one line of text; rename the file")


def write_set(out, image_root, images, classes, labels, sizes, truth, counts):
    """Write the folder `out`: everything of a prepared set but its proposals.

    images (N paths relative to image_root), classes (K names), labels (N,K) 0/1, sizes (N,2)
    width and height, truth (list of N arrays (m,5): class, x1, y1, x2, y2), counts (JSON object).
    """
    if not images:
        raise DataError(f"{out}: expected at least one image with a label, got none")
    check_writable(images)
    for image, (width, height), boxes in zip(images, sizes, truth, strict=True):
        check_boxes(boxes[:, 1:], width, height, f"ground truth: image {image}")
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{image}\n" for image in images).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    with atomic_file(out / "images.txt") as file:
        file.write(text)
    arrays = {
        "labels": np.asarray(labels, np.uint8),
        "sizes": np.asarray(sizes, "<i4"),
        "truth": np.concatenate(truth).astype("<f4"),
        "truth_start": np.cumsum([0, *map(len, truth)]).astype("<i8"),
    }
    write_arrays(out / "labels.arr", arrays, {"images_sha256": sha256})
    description = {
        "classes": list(classes),
        "image_root": os.path.relpath(image_root, out),
        "images_sha256": sha256,
        "counts": counts,
    }
    with atomic_file(out / "set.json") as file:
        file.write(json.dumps(description, indent=1).encode() + b"\n")


def write_proposals(path, proposals, limit, meta):
    """Write proposals.arr: per image its best `limit` boxes (n,5) x1, y1, x2, y2, score."""
    boxes = np.zeros((len(proposals), limit, 5), "<f4")
    counts = np.zeros(len(proposals), "<i4")
    for row, found in enumerate(proposals):
        counts[row] = min(len(found), limit)
        boxes[row, : counts[row]] = found[:limit]
    write_arrays(path, {"boxes": boxes, "counts": counts}, meta)
