"""What every layer's test needs: replay a golden case, check a gradient in float64."""

from pathlib import Path

import numpy as np
import torch
from google.protobuf import text_format

import caffe
from caffe.blob import Blob
from caffe.proto import caffe_pb2
from caffe.registry import layer_class
from tests import evidence

GOLDEN = Path(__file__).parent / "golden"


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| / max(1e-6, max |want|); shapes must agree."""
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    if want.size == 0:
        return 0.0
    return float(np.abs(got - want).max() / max(1e-6, np.abs(want).max()))


def net_from_text(tmp_path: Path, text: str, phase: int = caffe.TRAIN) -> caffe.Net:
    """A net from prototxt text."""
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return caffe.Net(str(path), phase)


def _series(case, stem: str) -> list[np.ndarray]:
    return [case[f"{stem}{i}"] for i in range(99) if f"{stem}{i}" in case]


def replay_golden(tmp_path: Path, name: str) -> None:
    """Run `golden/<name>.npz` forward and backward as the original did and compare everything.

    Tops within 1e-5, gradients within 1e-4, relative (see relative_error).
    """
    case = np.load(GOLDEN / f"{name}.npz")
    net = net_from_text(tmp_path, str(case["prototxt"]), getattr(caffe, str(case["phase"])))
    bottoms, params = _series(case, "bottom"), _series(case, "param")
    blobs = net.params.get("l", [])
    assert len(blobs) == len(params)
    for i, array in enumerate(bottoms):
        net.blobs[f"b{i}"].data[...] = array
    for blob, array in zip(blobs, params, strict=True):
        blob.data[...] = array
    net.forward()
    assert _series(case, "top"), f"{name} records no top"
    outputs = _compare_outputs(net, blobs, case, name)
    gradients = _compare_gradients(net, blobs, case, name) if "topdiff0" in case else None
    evidence.GOLDEN.append(evidence.Golden(net.layer_dict["l"].type, name, outputs, gradients))


def _compare_outputs(net, blobs, case, name) -> float:
    errors = {}
    for i, top in enumerate(_series(case, "top")):
        errors[f"top {i}"] = relative_error(net.blobs[f"t{i}"].data, top)
    for i, blob in enumerate(blobs):
        errors[f"param {i} after"] = relative_error(blob.data, case[f"param{i}_after"])
    assert all(error <= 1e-5 for error in errors.values()), f"{name}: {errors}"
    return max(errors.values())


def _compare_gradients(net, blobs, case, name) -> float:
    for i, diff in enumerate(_series(case, "topdiff")):
        if net.blob_loss_weights[f"t{i}"]:
            assert relative_error(net.blobs[f"t{i}"].diff, diff) <= 1e-5
        else:
            net.blobs[f"t{i}"].diff[...] = diff
    net.backward()
    bottoms = [net.blobs[f"b{i}"] for i in range(len(_series(case, "bottom")))]
    pairs = {f"bottomdiff{i}": blob for i, blob in enumerate(bottoms)}
    pairs |= {f"paramdiff{i}": blob for i, blob in enumerate(blobs)}
    errors = {
        key: relative_error(blob.diff, case[key]) for key, blob in pairs.items() if key in case
    }
    assert all(error <= 1e-4 for error in errors.values()), f"{name}: {errors}"
    return max(errors.values(), default=0.0)


def _compute_in_float64(blob: Blob) -> None:
    blob._data.tensor = blob.tensor().detach().double()
    blob._data.host, blob._data.touched = None, False


def make_layer(text: str, *shapes: tuple[int, ...], phase: int = caffe.TRAIN):
    """A lone layer, set up for bottoms of these shapes, computing in float64."""
    param = text_format.Parse(text, caffe_pb2.LayerParameter())
    layer = layer_class(param.type, param.name)(param, phase)
    layer.setup(*shapes)
    for blob in layer.blobs:
        _compute_in_float64(blob)
    return layer


def check_gradient(layer, *bottoms: np.ndarray, wrt: tuple[int, ...] | None = None) -> None:
    """Compare autograd with a central difference along one random direction, in float64.

    The objective is a fixed random weighting of all tops; `wrt` lists the bottoms to move
    (default: all). Parameters always move.
    """
    rng = np.random.default_rng(7)
    moved = range(len(bottoms)) if wrt is None else wrt
    inputs = [torch.tensor(b, dtype=torch.float64) for b in bottoms]
    leaves = [inputs[i] for i in moved] + [blob.tensor() for blob in layer.blobs]
    for leaf in leaves:
        leaf.requires_grad_(True)
    directions = [torch.tensor(rng.standard_normal(tuple(leaf.shape))) for leaf in leaves]
    weights: list[torch.Tensor] = []

    def objective() -> torch.Tensor:
        tops = layer.run(*inputs, device=torch.device("cpu"))
        while len(weights) < len(tops):
            weights.append(torch.tensor(rng.standard_normal(tuple(tops[len(weights)].shape))))
        return sum((top * weight).sum() for top, weight in zip(tops, weights, strict=True))

    grads = torch.autograd.grad(objective(), leaves)
    slope = sum(float((g * d).sum()) for g, d in zip(grads, directions, strict=True))

    def at(step: float) -> float:
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf += step * direction
            value = float(objective())
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf -= step * direction
        return value

    numeric = (at(1e-5) - at(-1e-5)) / 2e-5
    error = abs(slope - numeric) / max(1.0, abs(numeric))
    assert error <= 1e-6, (slope, numeric)
    evidence.GRADIENTS.append(evidence.Gradient(layer.type, error))
