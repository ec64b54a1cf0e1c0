"""How much memory training a net takes, counted from its shapes before anything is computed.

    with torch.device("meta"):  # parameters without numbers
        net = caffe.Net(param, caffe.TRAIN)
    of_training(net).peak

Left out: the program and PyTorch themselves, the allocator's fragments, data prefetched on the
host. What CPUs took beside: docs/performance.md; no GPU's memory has been compared.
"""

from collections.abc import Iterable
from typing import NamedTuple

from caffe import updates
from caffe.layer import Layer
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.recompute import stretches

_FLOAT, _LOW, _INDEX, _WINNER = 4, 2, 8, 2  # bytes: of a number, in bf16, in max pooling, in RoIs
# Maps alive beside those kept while the largest one's layer runs: forward two that a convolution
# reorders for its kernels, backward the gradient going in and coming out, and three reordered.
_FORWARD, _BACKWARD = 2, 5
_SHARING = ("Split", "Reshape", "Flatten", "Silence")  # their tops are their bottom's memory


class Footprint(NamedTuple):
    """Bytes of one training pass and of the update behind it."""

    weights: int  # parameters, and their copies in less than float32
    gradients: int  # with iter_size > 1 the sum so far and those of the running pass
    history: int  # the solver's
    maps: int  # what the pass keeps of all images
    working: int  # gradients of maps, copies for a layer's kernels, maps computed again
    update: int  # temporary gradients, regularised

    @property
    def peak(self) -> int:
        """The most at any time: backward pass and update follow each other."""
        held = self.weights + self.gradients + self.history + self.maps
        return held + max(self.working, self.update)


class _Kept(NamedTuple):
    """Bytes that one layer leaves in memory."""

    number: int  # one of its results
    tops: int
    working: int  # while it runs, at most
    extra: int  # what its backward pass needs beside blobs


def of_training(
    net: Net,
    solver: caffe_pb2.SolverParameter | None = None,
    low: bool = False,
    recompute: bool = False,
) -> Footprint:
    """The memory of `net` in training by `solver`, without one of its passes alone.

    low: bf16 or fp16; recompute: as `net.recompute`. Shapes count as they are now.
    """
    learned = [blob.count for blob, _ in net.learnable() if blob.learned]
    every = sum(blob.count for blob, _ in net.learnable())
    copies = _LOW * every if low else 0
    kept = _kept(net, low)
    maps, again = _maps(net, kept) if recompute else (sum(k.tops + k.extra for k in kept), 0)
    working = again + max((k.working for k in kept), default=0)
    gradients = _FLOAT * sum(learned)
    if solver is None:
        return Footprint(_FLOAT * every + copies, gradients, 0, maps, working, 0)
    several = solver.iter_size > 1
    slots = getattr(updates, solver.type).slots
    regularised = bool(solver.weight_decay) and not updates.in_one_pass(solver)
    return Footprint(
        weights=_FLOAT * every + copies,
        gradients=gradients * (2 if several else 1),
        history=gradients * slots,
        maps=maps,
        working=working,
        update=gradients * (regularised + several + (slots > 1)),
    )


def _kept(net: Net, low: bool) -> list[_Kept]:
    """What each layer leaves in memory during a training pass."""
    size = dict.fromkeys(net.blobs, _FLOAT)  # bytes of a number
    learns = dict.fromkeys(net.blobs, False)  # whether the blob has a gradient
    found = []
    for layer in net._layers:
        names = layer.layer_param.bottom
        trained = any(blob.learned for blob in layer.blobs)
        backward = trained or any(learns[name] for name in names)
        lowest = min((size[name] for name in names), default=_FLOAT)
        mine = {"low": _LOW if low else _FLOAT, "any": lowest}.get(layer.arithmetic, _FLOAT)
        extra = _saved(layer, net, mine) if backward else 0
        # A layer that computes in another type than its bottom keeps the bottom converted.
        extra += sum(mine * net.blobs[n].count for n in names if backward and size[n] != mine)
        tops = [] if layer.type in _SHARING else _new_tops(layer)
        counts = [mine * net.blobs[name].count for name in tops]
        around = (_BACKWARD if backward else _FORWARD) * max(counts, default=0)
        found.append(_Kept(mine, sum(counts), around, extra))
        for name in layer.layer_param.top:
            size[name], learns[name] = mine, backward
    return found


def _new_tops(layer: Layer) -> Iterable[str]:
    """The tops that are not in place; those overwrite their bottom, or its version counts."""
    return [name for name in layer.layer_param.top if name not in layer.layer_param.bottom]


def _saved(layer: Layer, net: Net, number: int) -> int:
    """Bytes that the layer's backward pass needs and that are no blob any more, or never were."""
    param = layer.layer_param
    count = sum(net.blobs[name].count for name in param.top)
    if layer.type == "Pooling":
        return _INDEX * count if param.pooling_param.pool == param.pooling_param.MAX else 0
    if layer.type == "ROIPooling":
        return _WINNER * count
    in_place = layer.type != "ReLU" and set(param.top) & set(param.bottom)
    mask = count * number if layer.type == "Dropout" and layer.phase == caffe_pb2.TRAIN else 0
    return mask + (number * count if in_place else 0)


def _maps(net: Net, kept: list[_Kept]) -> tuple[int, int]:
    """(bytes kept, bytes of the largest stretch computed again) with `net.recompute`."""
    held, again = 0, 0
    for stretch in stretches(net._layers):
        whole = sum(kept[i].tops + kept[i].extra for i in stretch)
        _, leaving = net._border(stretch)
        made = [top for top in leaving if net._layers[top.layer].type not in _SHARING]
        left = sum(kept[top.layer].number * net.blobs[net._name_of(top)].count for top in made)
        left = left if len(stretch) > 1 else whole
        held, again = held + left, max(again, whole - left)
    return held, again
