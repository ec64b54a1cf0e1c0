"""Whether an exported file computes what its net does: numbers to feed both, and how far off."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.layer import Layer, Shape
from caffe.net import Net

Arrays = dict[str, np.ndarray]
_THROUGH = ("Split", "Reshape", "Flatten")  # layers whose tops are their bottom's numbers
_PIXELS = 100


def examples(net: Net, seed: int) -> Arrays:
    """An array for each input blob: normal numbers, or what the layer that reads it takes.

    That is 0 and 1 for class numbers, indices, selectors and `cont`, and boxes for rois.
    """
    rng = np.random.default_rng(seed)
    return {
        name: _draw(rng, net.blobs[name].shape, *_reader(net, name)).astype(np.float32)
        for name in net.inputs
    }


def check_outputs(net: Net) -> None:
    """Raise CaffeError if the net computes nothing that leaves it."""
    makers = {name: layer for layer in net._layers for name in layer.layer_param.top}
    if all(makers[name].type == "Input" for name in net.outputs):
        raise CaffeError(f'net "{net.name}": it has no outputs to export')


def differences(net: Net, inputs: Mapping[str, np.ndarray], got: Arrays) -> dict[str, float]:
    """max |got - net's| / max(1e-6, max |net's|) of each output in `got`.

    NaN in the same places counts as equal, another shape as infinity.
    """
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.no_grad():
        tops = net.compute(tensors, torch.device("cpu"))
    return {name: _difference(array, tops[name].detach().numpy()) for name, array in got.items()}


def _difference(got: np.ndarray, want: np.ndarray) -> float:
    if got.shape != want.shape or not np.array_equal(np.isnan(got), np.isnan(want)):
        return float("inf")
    there = ~np.isnan(want)
    gap = np.abs(got[there] - want[there]).max(initial=0)
    return float(gap / max(1e-6, np.abs(want[there]).max(initial=0)))


def _reader(net: Net, blob: str) -> tuple[Layer | None, int]:
    """The first layer that computes with the blob, and as which of its bottoms."""
    names = {blob}
    for layer in net._layers:
        bottoms = list(layer.layer_param.bottom)
        if layer.type in _THROUGH and names.intersection(bottoms):
            names.update(layer.layer_param.top)
        elif read := names.intersection(bottoms):
            return layer, min(bottoms.index(name) for name in read)
    return None, 0


def _zeros_and_ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.integers(0, 2, shape)


def _zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.zeros(shape)


def _boxes(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Rows of x1 y1 x2 y2 score, one behind the other."""
    rows = rng.uniform(0, _PIXELS, (*shape[:1], -(-int(np.prod(shape[1:])) // 5), 5))
    rows[..., 2:4] += rows[..., :2]
    rows[..., 4] /= _PIXELS
    return rows.reshape(shape)


def _rois(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Boxes on the first image, which every net has."""
    boxes = _boxes(rng, (shape[0], 5))
    return np.concatenate([np.zeros((shape[0], 1)), boxes], 1)[:, : shape[1]]


# By layer type and place among its bottoms; -1 is the last.
_SPECIAL: dict[tuple[str, int], Callable[[np.random.Generator, Shape], np.ndarray]] = {
    ("Accuracy", 1): _zeros_and_ones,
    ("BatchReindex", 1): _zeros,
    ("BiasChannel", 1): _zeros_and_ones,
    ("ContrastiveLoss", 2): _zeros_and_ones,
    ("Embed", 0): _zeros_and_ones,
    ("FeatureL2Loss", 2): _rois,
    ("Filter", -1): _zeros_and_ones,
    ("HingeLoss", 1): _zeros_and_ones,
    ("InfogainLoss", 1): _zeros_and_ones,
    ("LSTM", 1): _zeros_and_ones,
    ("LSTMUnit", 2): _zeros_and_ones,
    ("MultinomialLogisticLoss", 1): _zeros_and_ones,
    ("RNN", 1): _zeros_and_ones,
    ("ROIPooling", 1): _rois,
    ("ROISpatialPyramidPooling", 1): _rois,
    ("ScoreWeightedConcat", -1): _rois,
    ("SigmoidCrossEntropyLoss", 1): _zeros_and_ones,
    ("SoftmaxWithLoss", 1): _zeros_and_ones,
    ("WsdRoigen", 0): _boxes,
    ("WsdRoigenSingleScale", 0): _boxes,
}


def _draw(rng: np.random.Generator, shape: Shape, layer: Layer | None, place: int) -> np.ndarray:
    if layer is not None:
        last = place == len(layer.layer_param.bottom) - 1
        places = (place, -1) if last else (place,)
        for key in ((layer.type, here) for here in places):
            if key in _SPECIAL:
                return _SPECIAL[key](rng, shape)
    return rng.standard_normal(shape)
