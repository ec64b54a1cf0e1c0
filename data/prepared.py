"""What the tools here share: options, and writing the sets of python_layers/prepared_set.py."""

import argparse
import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys

import cv2
import numpy as np
from image_files import RECORD, image_sizes, missing_images

from python_layers.array_file import DataError, atomic_file, make_head, write_arrays
from python_layers.boxes import check_boxes
from python_layers.only_run import only_run

BOX_TOLERANCE = 1.0  # COCO's own boxes stick out of their images by rounding, never by more
LEFT_OUT = "left_out.txt"
NO_BOXES = np.zeros((0, 5), np.float32)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image as a data set's annotations describe it, before anybody has opened it."""

    image: str  # path relative to the folder of the images
    labels: np.ndarray  # (K,) uint8, 0 or 1
    size: tuple[int, int] | None = None  # width, height; None: the annotations do not say
    truth: np.ndarray = dataclasses.field(default_factory=NO_BOXES.copy)  # (m,5) class, corners
    difficult: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint8))  # (m,)


def run_tool(main):
    """Call main(argv) as a command: a user's mistake is one line on stderr and exit code 1."""
    try:
        main(sys.argv[1:])
    except (DataError, OSError) as error:
        named = isinstance(error, OSError) and error.filename is not None
        text = f"{error.filename}: {error.strerror}" if named else error
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: error: {text}")
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


def read_lines(path):
    """(number, text) of each line of a UTF-8 file; DataError naming one in another encoding."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise DataError(
                    f"{path}:{number}: expected text in UTF-8; convert the file"
                ) from None


def read_names(path):
    """The names in a file, one per line; DataError for a blank line before the last, or none."""
    names = [text.strip() for _, text in read_lines(path)]
    while names[1:] and not names[-1]:
        names.pop()
    if "" in names or not names:
        line = names.index("") + 1 if names else 1
        raise DataError(f"{path}:{line}: expected a name, got none")
    return names


@contextlib.contextmanager
def full_disk_named(path):
    """Turn the error of a full disk, which names no file, into a DataError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"{path}: no space left on the disk; free some and run the same command again: "
            "it goes on with what is finished"
        ) from None


@contextlib.contextmanager
def own_folder(folder):
    """only_run, and a full disk in it is named."""
    with full_disk_named(folder), only_run(folder):
        yield


@contextlib.contextmanager
def staging(out):
    """A folder inside `out` for files that are not whole yet; needs own_folder(out)."""
    folder = pathlib.Path(out, ".unfinished")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def fit_boxes(boxes, size, name):
    """Boxes (n, >= 4) with rounding beyond the border of an image of (width, height) cut off.

    Further columns are copied. DataError for a box that sticks out by more than BOX_TOLERANCE,
    has its corners in the wrong order or is no number; name(row) says in it which box that is.
    """
    last = np.array(size) - 1.0
    first, second = boxes[:, 0:2], boxes[:, 2:4]
    good = (first >= -BOX_TOLERANCE) & (second <= last + BOX_TOLERANCE) & (first <= second + 1)
    good = good.all(axis=1) & np.isfinite(boxes).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        values = " ".join(f"{value:g}" for value in boxes[row])
        raise DataError(
            f"{name(row)}: expected a box inside {size[0]}x{size[1]}, got {values} as its corners "
            f"x1 y1 x2 y2{' and score' * (boxes.shape[1] > 4)}; correct it or leave it out"
        )
    fitted = boxes.copy()
    fitted[:, 0:2] = np.clip(first, 0, last)
    fitted[:, 2:4] = np.clip(second, fitted[:, 0:2], last)
    return fitted


def check_names(images, where):
    """DataError for a path that images.txt cannot hold, or one that is there twice."""
    seen = set()
    for image in images:
        if not image or image.splitlines() != [image]:
            raise DataError(f"image path {image!r}: expected one line of text; rename the file")
        if image in seen:
            raise DataError(f"{where}: image {image} is listed twice; leave one of them out")
        seen.add(image)


def write_left_out(out, reasons):
    """Write which images were left out and why, a line each, or nothing where none was."""
    path = pathlib.Path(out, LEFT_OUT)
    if not reasons:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as file:
        file.write("".join(f"{image}\t{reason}\n" for image, reason in reasons.items()).encode())


def look_at_images(root, samples, out, where):
    """({image: (width, height)}, {image: reason}) of the usable and of the other images."""
    reasons = dict.fromkeys(missing_images(root, [s.image for s in samples]), "missing")
    there = [sample for sample in samples if sample.image not in reasons]
    usable = {}
    sizes = image_sizes(root, [sample.image for sample in there], out)
    for sample, size in zip(there, sizes, strict=True):
        if isinstance(size, str):
            reasons[sample.image] = f"unreadable: {size}"
        elif sample.size not in (None, size):
            raise DataError(
                f"{pathlib.Path(root, sample.image)}: expected {sample.size[0]}x{sample.size[1]} "
                f"pixels as {where} says, got {size[0]}x{size[1]}; fetch the image again"
            )
        else:
            usable[sample.image] = size
    return usable, reasons


def refuse_left_out(out, reasons, total):
    """DataError that says how many images cannot be used, and why the first one cannot."""
    image, reason = next(iter(reasons.items()))
    raise DataError(
        f"{len(reasons):,} of {total:,} images cannot be used, all of them listed in "
        f"{pathlib.Path(out, LEFT_OUT)}; the first: {image}: {reason}; fetch them again, or leave "
        "them out with --skip-unreadable"
    )


def prepare_set(out, root, samples, classes, where, skip_unreadable=False, keep_unlabelled=False):
    """Write the prepared set of those samples that have a label and an image that can be read.

    The others, unless skip_unreadable, are an error; keep_unlabelled keeps images without labels.
    Returns the counts: raw, without_labels, missing, unreadable, kept. `where` names the
    annotations in messages. After an interruption, what was found out about images is kept.
    """
    with own_folder(out):
        check_names([sample.image for sample in samples], where)
        labelled = [sample for sample in samples if sample.labels.any()]
        wanted = samples if keep_unlabelled else labelled
        sizes, reasons = look_at_images(root, wanted, out, where)
        write_left_out(out, reasons)
        if reasons and not skip_unreadable:
            refuse_left_out(out, reasons, len(wanted))
        kept = [sample for sample in wanted if sample.image in sizes]
        missing = sum(reason == "missing" for reason in reasons.values())
        counts = {
            "raw": len(samples),
            "without_labels": len(samples) - len(labelled),
            "missing": missing,
            "unreadable": len(reasons) - missing,
            "kept": len(kept),
        }
        names, labels = [s.image for s in kept], [s.labels for s in kept]
        truth, difficult = [s.truth for s in kept], [s.difficult for s in kept]
        sizes = [sizes[name] for name in names]
        write_set(out, root, names, classes, labels, sizes, truth, counts, difficult)
        pathlib.Path(out, RECORD).unlink()
    return counts


def add_preparation(parser, skip_unreadable=True, keep_unlabelled=True):
    """Add the options that the prepare_*.py share."""
    parser.add_argument("--out", required=True, help="folder of the prepared set")
    if skip_unreadable:
        parser.add_argument(
            "--skip-unreadable",
            action="store_true",
            help="leave missing and unreadable images out, listed in left_out.txt, and go on",
        )
    if keep_unlabelled:
        parser.add_argument(
            "--keep-unlabelled",
            action="store_true",
            help="keep images without a label: for detection scored on a whole split",
        )


def print_counts(out, counts):
    """Print the counts of a prepared set, and where the left-out images are listed."""
    print(f"{out}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    if counts["missing"] or counts["unreadable"]:
        print(f"{pathlib.Path(out, LEFT_OUT)}: the images that are missing or unreadable")


def write_set(out, image_root, images, classes, labels, sizes, truth, counts, difficult=None):
    """Write the folder `out`: everything of a prepared set but its proposals.

    images (N paths relative to image_root), classes (K names), labels (N,K) 0/1, sizes (N,2)
    width and height, truth (list of N arrays (m,5): class, x1, y1, x2, y2), counts (JSON object),
    difficult (list of N arrays (m,) 0/1; None: no box is difficult).
    """
    if not images:
        raise DataError(f"{out}: expected at least one image with a label, got none")
    check_names(images, out)
    for image, (width, height), boxes in zip(images, sizes, truth, strict=True):
        check_boxes(boxes[:, 1:], width, height, f"ground truth: image {image}")
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{image}\n" for image in images).encode()
    difficult = difficult or [np.zeros(len(boxes)) for boxes in truth]
    arrays = {
        "labels": np.asarray(labels, np.uint8),
        "sizes": np.asarray(sizes, "<i4"),
        "truth": np.concatenate(truth).astype("<f4"),
        "truth_start": np.cumsum([0, *map(len, truth)]).astype("<i8"),
        "difficult": np.concatenate(difficult).astype(np.uint8),
    }
    description = {
        "classes": list(classes),
        "image_root": os.path.relpath(image_root, out),
        "images_sha256": hashlib.sha256(text).hexdigest(),
        "counts": counts,
    }
    # All is on the disk before the first of them takes the place of its forerunner.
    with staging(out) as folder:
        write_arrays(folder / "labels.arr", arrays, {"images_sha256": description["images_sha256"]})
        for name, content in (
            ("images.txt", text),
            ("set.json", json.dumps(description, indent=1).encode() + b"\n"),
        ):
            with atomic_file(folder / name) as file:
                file.write(content)
        for name in ("labels.arr", "images.txt", "set.json"):
            os.replace(folder / name, out / name)


def write_proposals(path, proposals, limit, meta, number=None):
    """Write proposals.arr: per image its best `limit` boxes (n,5) x1, y1, x2, y2, score.

    `proposals` is a sequence of arrays, or any iterable of `number` of them: only one is held.
    """
    number = len(proposals) if number is None else number
    layout = {"boxes": ("<f4", (number, limit, 5)), "counts": ("<i4", (number,))}
    head, offsets, _ = make_head(path, layout, meta)
    counts = []
    with atomic_file(path) as file:
        file.write(head)
        for found in proposals:
            best = np.zeros((limit, 5), "<f4")
            best[: len(found)] = found[:limit]
            counts.append(min(len(found), limit))
            file.write(best.data if limit else b"")
        if len(counts) != number:
            raise ValueError(f"{path}: expected {number} images, got {len(counts)}")
        file.write(bytes(offsets["counts"] - file.tell()))
        file.write(np.array(counts, "<i4").data)
