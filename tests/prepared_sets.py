"""What the tests of the data path share: tiny images and prepared sets of them."""

import cv2
import numpy as np
from prepared import write_proposals, write_set

from python_layers.prepared_set import PreparedSet

SIZES = [(23, 17), (31, 40), (28, 19), (37, 26), (20, 33), (45, 29), (18, 24)]  # width, height
CLASSES = ["cat", "dog", "eel"]


def write_images(folder, sizes=SIZES, suffix=".png"):
    """Random images 0.png, 1.png, ... of these sizes; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    for number, (width, height) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}{suffix}"), pixels)
    return [f"{number}{suffix}" for number in range(len(sizes))]


def random_boxes(rng, count, width, height):
    """(count, 5) float32: boxes of whole pixels inside the image, scores in 0..1."""
    x, y = (np.sort(rng.integers(0, side, (count, 2)), axis=1) for side in (width, height))
    columns = [x[:, 0], y[:, 0], x[:, 1], y[:, 1], rng.random(count)]
    return np.stack(columns, axis=1).astype(np.float32)


def make_set(folder, counts=(4, 2, 6, 0, 5, 6, 1), limit=6, suffix=".png"):
    """A prepared set of seven images under folder/set with `counts` proposals, at most `limit`."""
    names = write_images(folder / "images", suffix=suffix)
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, (len(SIZES), len(CLASSES)))
    truth = [
        np.concatenate([[[n % 3]], random_boxes(rng, 1, *size)[:, :4]], axis=1)
        for n, size in enumerate(SIZES)
    ]
    made = {"raw": 9, "without_labels": 2, "unreadable": 0, "kept": 7}
    out = folder / "set"
    write_set(out, folder / "images", names, CLASSES, labels, SIZES, truth, made)
    boxes = [random_boxes(rng, n, *size) for n, size in zip(counts, SIZES, strict=True)]
    meta = {"images_sha256": PreparedSet(out).images_sha256, "settings": {"method": "random"}}
    write_proposals(out / "proposals.arr", boxes, limit, meta)
    return out, boxes, labels, truth
