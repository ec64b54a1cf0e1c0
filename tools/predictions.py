"""What a net says about every image of a prepared set, kept next to its weights.

The net is a test prototxt (see feeding.py) with a blob `p` (N,K) of probabilities. Beside
`x.caffemodel` lie afterwards
    x.predictions.npy   (images, K) float32, rows in the order of the set
    x.predictions.json  what they came from; another net, weights or set makes them anew
and for a test in several views x.<scales, mirror, crops>.predictions.npy. From these two files and
the set's labels `saved` reads everything that a metric needs, without a net.
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib

import numpy as np
from errors import UserError
from feeding import Feed, ViewPlan, read_net
from files import write_atomically

from python_layers.prepared_set import PreparedSet


def run_net(feed: Feed, title: str) -> np.ndarray:
    """p of every image of the set, (N,K) float32, the mean over the views.

    UserError if the net has no blob p or another number of classes.
    """
    net, shape = feed.net, feed.set.labels.shape
    if "p" not in net.blobs or net.blobs["p"].data.shape[1:] != shape[1:]:
        found = net.blobs["p"].data.shape if "p" in net.blobs else "no blob p"
        raise UserError(f'net "{net.name}": expected p (N,{shape[1]}), got {found}')
    scores = np.zeros(shape)
    for images, _ in feed.forward(title):
        scores[images] += net.blobs["p"].data
    return (scores / len(feed.views)).astype(np.float32)


def digest(*paths: pathlib.Path) -> str:
    """SHA-256 over the contents of the files that exist."""
    total = hashlib.sha256()
    for path in filter(pathlib.Path.is_file, paths):
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def origin_of(
    model: pathlib.Path, weights: pathlib.Path, images: PreparedSet, view_plan: ViewPlan
) -> dict:
    """What predictions depend on, for the note beside them."""
    parts = ("set.json", "images.txt", "labels.arr", "proposals.arr")
    return {
        "weights": weights.name,
        "weights_sha256": digest(weights),
        "net": model.as_posix(),
        "net_sha256": digest(model),
        "set": images.folder.as_posix(),
        "images_sha256": images.images_sha256,
        "set_sha256": digest(*(images.folder / part for part in parts)),
        "views": view_plan.tag(),
    }


def kept(path: pathlib.Path, origin: dict) -> np.ndarray | None:
    """The predictions in `path` if its .json says that they came from `origin`."""
    note = path.with_suffix(".json")
    if not (path.is_file() and note.is_file()):
        return None
    try:
        if json.loads(note.read_text(encoding="utf-8")) != origin:
            return None
        return np.load(path, allow_pickle=False)
    except ValueError:  # cut short or not ours: make it anew
        return None


def keep(path: pathlib.Path, scores: np.ndarray, origin: dict) -> None:
    """Write predictions, then what they came from, so that the note never comes first."""
    path.with_suffix(".json").unlink(missing_ok=True)
    content = io.BytesIO()
    np.save(content, scores, allow_pickle=False)
    write_atomically(path, content.getvalue())
    write_atomically(path.with_suffix(".json"), json.dumps(origin, indent=1).encode())


def predictions(
    model: pathlib.Path,
    weights: pathlib.Path,
    folder: str | None = None,
    batch_size: int | None = None,
    title: str = "",
    view_plan: ViewPlan | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(scores (N,K) float32, labels (N,K) uint8) of a test net on its set, or on `folder`.

    Runs the net unless its predictions lie beside the weights. Raises UserError, DataError or
    CaffeError naming the file for a missing or unfit net, set or weights.
    """
    view_plan = view_plan or ViewPlan()
    if not weights.is_file():
        raise UserError(f"{weights}: no such weights file")
    images = PreparedSet(read_net(model, folder)[1]["source"])
    tag = view_plan.tag()
    path = weights.with_suffix(f".{tag}.predictions.npy" if tag else ".predictions.npy")
    origin = origin_of(model, weights, images, view_plan)
    scores = kept(path, origin)
    if scores is None or scores.shape != images.labels.shape:
        scores = run_net(Feed(model, weights, folder, batch_size, view_plan), title)
        keep(path, scores, origin)
    return scores, images.labels


def saved(path: pathlib.Path, folder: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(scores, labels) of kept predictions, without their net and weights.

    The labels are those of `folder`, or of the set that the note beside the predictions names.
    UserError if either is missing, or if they are not of this set's images.
    """
    note = path.with_suffix(".json")
    try:
        scores = np.load(path, allow_pickle=False)
        origin = json.loads(note.read_text(encoding="utf-8"))
        folder = folder or origin["set"]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file") from None
    except OSError as error:
        raise UserError(f"{error.filename}: cannot read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: expected predictions and {note.name} beside them, as test_cls.py keeps them"
        ) from None
    images = PreparedSet(folder)
    if origin.get("images_sha256") != images.images_sha256 or scores.shape != images.labels.shape:
        raise UserError(f"{path}: made for other images or classes than those of {images.folder}")
    return scores, images.labels
