"""Look at every image of a data set once: is it there, can it be decoded, how large is it?"""

import concurrent.futures
import json
import os
import pathlib

from tqdm import tqdm

from python_layers.array_file import DataError
from python_layers.prepared_set import decode_image

RECORD = "images.checked"


def missing_images(root, images):
    """Those of the images that are not under `root`; DataError if none is there."""
    if not pathlib.Path(root).is_dir():
        raise DataError(f"{root}: no such folder: expected the images; unpack their archive")
    missing = [image for image in images if not pathlib.Path(root, image).is_file()]
    if images and len(missing) == len(images):
        raise DataError(
            f"{root}: expected images such as {images[0]}, got none of the {len(images):,} listed; "
            "is it the folder of another year or split, or their archive not unpacked?"
        )
    return missing


def fingerprint(path):
    """[bytes, time of the last change] of a file: what tells that it was not touched."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def read_record(path):
    """{image: [bytes, time, width, height]} of what an interrupted run wrote down at `path`."""
    record = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                image, *facts = json.loads(line)
            except ValueError:  # cut short by the interruption
                continue
            record[image] = facts
    return record


def examine(root, image, known):
    """[bytes, time, width, height] of an image, decoded in full; or why it is unusable, a text."""
    path = pathlib.Path(root, image)
    try:
        now = fingerprint(path)
        if known and known[:2] == now:
            return known
        height, width = decode_image(path).shape[:2]
        return [*now, width, height]
    except OSError as error:
        return error.strerror
    except DataError as error:  # "path: what is wrong; remedy": callers name path and remedy
        return str(error).removeprefix(f"{path}: ").partition("; ")[0]


def image_sizes(root, images, out):
    """Per image (width, height), or a text that says why it cannot be read. On all cores.

    What is known is written down in the folder `out` at once, for a run after an interruption;
    the caller deletes the RECORD when its own work is done.
    """
    path = pathlib.Path(out, RECORD)
    known, sizes = read_record(path), []
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    with pool, open(path, "a", encoding="utf-8", buffering=1) as record:
        try:
            record.write("\n")  # ends a line that was cut short
            found = pool.map(lambda image: examine(root, image, known.get(image)), images)
            found = tqdm(found, "images", len(images), unit="image")
            for image, facts in zip(images, found, strict=True):
                if isinstance(facts, str):
                    sizes.append(facts)
                    continue
                sizes.append((facts[2], facts[3]))
                if facts is not known.get(image):
                    record.write(json.dumps([image, *facts]) + "\n")
        finally:
            pool.shutdown(cancel_futures=True)
    return sizes
