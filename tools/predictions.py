"""What a net says about every image of a prepared set, kept next to its weights.

The net is a test prototxt with a ProposalData layer (data, label, and for the teacher rois and
roi_mask) and a blob `p` (N,K) of probabilities. Beside `x.caffemodel` lie afterwards
    x.predictions.npy   (images, K) float32, rows in the order of the set
    x.predictions.json  what they came from; another net, weights or set makes them anew
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
from errors import UserError
from files import write_atomically
from google.protobuf import text_format
from run_files import read_prototxt
from tqdm import tqdm

import caffe
from caffe.proto import caffe_pb2
from python_layers.prepared_set import PreparedSet


def data_layer(net: caffe_pb2.NetParameter, model: pathlib.Path) -> caffe_pb2.LayerParameter:
    """The net's ProposalData layer; UserError if it has none."""
    for layer in net.layer:
        if layer.type == "Python" and layer.python_param.layer == "ProposalData":
            return layer
    raise UserError(f"{model}: no Python layer ProposalData, so nothing to evaluate it on")


def read_net(
    model: pathlib.Path, folder: str | None = None, batch_size: int | None = None
) -> tuple[caffe_pb2.NetParameter, dict]:
    """The test net on another set or with another batch size, and its data layer's options.

    UserError if the net cannot be read or its data layer names no set.
    """
    net = read_prototxt(model, caffe_pb2.NetParameter())
    layer = data_layer(net, model)
    try:
        options = dict(json.loads(layer.python_param.param_str))
    except (ValueError, TypeError):
        raise UserError(
            f"{model}: layer {layer.name}: param_str: expected a JSON object, "
            f"got {layer.python_param.param_str!r}"
        ) from None
    options.update({"source": folder} if folder else {})
    options.update({} if batch_size is None else {"batch_size": batch_size})
    if not isinstance(options.get("source"), str):
        raise UserError(
            f"{model}: layer {layer.name}: param_str: source: expected the folder of a prepared "
            f"set, got {options.get('source')!r}"
        )
    layer.python_param.param_str = json.dumps(options)
    return net, options


def start_net(net: caffe_pb2.NetParameter, weights: pathlib.Path) -> caffe.Net:
    """The net in test phase with its weights."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(net))
        file.flush()
        return caffe.Net(file.name, str(weights), caffe.TEST)


def batches(net: caffe.Net, count: int, title: str) -> Iterator[tuple[int, int]]:
    """Run the net until `count` images have passed; yields (first, size) of each mini-batch.

    The data layer starts again behind the last image: the last batch is cut to what counts.
    """
    size = net.blobs["p"].data.shape[0]
    for first in tqdm(range(0, count, size), desc=title, unit="batch", leave=False):
        net.forward()
        yield first, min(size, count - first)


def run_net(net: caffe.Net, labels: np.ndarray, title: str) -> np.ndarray:
    """p of every image of the set, (N,K) float32; labels (N,K) in the order of the set.

    UserError if the net has no blob p, another number of classes, or another order of images.
    """
    if "p" not in net.blobs or net.blobs["p"].data.shape[1:] != labels.shape[1:]:
        found = net.blobs["p"].data.shape if "p" in net.blobs else "no blob p"
        raise UserError(f'net "{net.name}": expected p (N,{labels.shape[1]}), got {found}')
    scores = np.empty(labels.shape, np.float32)
    for first, size in batches(net, len(labels), title):
        rows = slice(first, first + size)
        if not np.array_equal(net.blobs["label"].data[:size], labels[rows]):
            raise UserError(
                f'net "{net.name}": the labels of images {first + 1} to {first + size} are not '
                "the set's; a test net must not shuffle its images"
            )
        scores[rows] = net.blobs["p"].data[:size]
    return scores


def digest(*paths: pathlib.Path) -> str:
    """SHA-256 over the contents of the files that exist."""
    total = hashlib.sha256()
    for path in filter(pathlib.Path.is_file, paths):
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def origin_of(model: pathlib.Path, weights: pathlib.Path, images: PreparedSet) -> dict:
    """What predictions depend on, for the note beside them."""
    parts = ("set.json", "images.txt", "labels.arr", "proposals.arr")
    return {
        "weights": weights.name,
        "weights_sha256": digest(weights),
        "net": model.as_posix(),
        "net_sha256": digest(model),
        "set": images.folder.as_posix(),
        "set_sha256": digest(*(images.folder / part for part in parts)),
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
) -> tuple[np.ndarray, np.ndarray]:
    """(scores (N,K) float32, labels (N,K) uint8) of a test net on its set, or on `folder`.

    Runs the net unless its predictions lie beside the weights. Raises UserError, DataError or
    CaffeError naming the file for a missing or unfit net, set or weights.
    """
    if not weights.is_file():
        raise UserError(f"{weights}: no such weights file")
    param, options = read_net(model, folder, batch_size)
    images = PreparedSet(options["source"])
    path, origin = weights.with_suffix(".predictions.npy"), origin_of(model, weights, images)
    scores = kept(path, origin)
    if scores is None or scores.shape != images.labels.shape:
        scores = run_net(start_net(param, weights), images.labels, title)
        keep(path, scores, origin)
    return scores, images.labels
