"""What every weights file holds, and how it comes into a net: all of it, or nothing.

The formats are caffe/caffemodel.py, hdf5.py and safetensors_file.py; weights_file.py picks one.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

import numpy as np

from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.layer import Layer

_log = logging.getLogger("caffe")
_NAMED = 10  # layers that an error lists before it counts the rest


@dataclass
class LayerWeights:
    """One layer of a weights file.

    blobs: float32 arrays; None for one that the file keeps only with the layer that owns it.
    Layers that share a parameter may hold the same array. diffs: none, or one for each blob.
    type, bottoms, tops: as in the net, empty where the file does not say.
    message: all that the net's text says of the layer: a LayerParameter of the Caffe tree that
    wrote it, serialized without blobs; empty where the file does not say.
    """

    name: str
    blobs: list[np.ndarray | None]
    type: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    diffs: list[np.ndarray | None] = field(default_factory=list)
    message: bytes = b""

    def take_diffs(self, diffs: Sequence[np.ndarray | None], where: str) -> None:
        """Set the diffs to those of blobs that are here, none if there are none.

        Raises CaffeError, beginning with `where`, if one has another shape than its blob.
        """
        found = []
        for i, (blob, diff) in enumerate(zip_longest(self.blobs, diffs)):
            found.append(diff if blob is not None else None)
            if blob is not None and diff is not None and blob.shape != diff.shape:
                raise CaffeError(
                    f'{where}: layer "{self.name}", blob {i}: expected a diff of shape '
                    f"{blob.shape}, got {diff.shape}"
                )
        here = any(diff is not None for diff in found)
        self.diffs = found[: len(self.blobs)] if here else []


@dataclass
class NetWeights:
    """The layers of a weights file, in its order, and the name of the net."""

    layers: list[LayerWeights]
    name: str = ""


def of_net(layers: Iterable[Layer], name: str, write_diff: bool = False) -> NetWeights:
    """A net's parameters as they are now: views, no copies; with `write_diff` also their diffs."""
    found = []
    for layer in layers:
        if layer.type == "Split":  # nets insert their own
            continue
        param = layer.layer_param
        weights = LayerWeights(
            layer.name,
            [blob.data for blob in layer.blobs],
            layer.type,
            list(param.bottom),
            list(param.top),
            [blob.diff for blob in layer.blobs] if write_diff else [],
            param.SerializeToString(),
        )
        found.append(weights)
    return NetWeights(found, name)


def fits(mine: Sequence[int], theirs: Sequence[int]) -> bool:
    """Equal, or equal once leading ones are dropped: old files pad shapes to four axes."""
    if len(theirs) == 4 and len(mine) <= 4:
        return tuple(theirs) == (1,) * (4 - len(mine)) + tuple(mine)
    return tuple(mine) == tuple(theirs)


def keys(layers: "Sequence[_Named]", usable: Callable[[str], bool] = bool) -> list[str]:
    """What to store each layer under, all different, where a format knows layers by a key alone.

    Its name; for one that is not `usable`, or that another layer has, "layer <place in the list>".
    Layers with blobs choose first.
    """
    found: dict[int, str] = {}
    taken: set[str] = set()
    for i in sorted(range(len(layers)), key=lambda i: not layers[i].blobs):
        name = layers[i].name
        found[i] = name if usable(name) and name not in taken else f"layer {i}"
        while found[i] in taken:
            found[i] += "_"
        taken.add(found[i])
    return [found[i] for i in range(len(layers))]


def describe(weights: NetWeights, stored_under: Sequence[str]) -> str:
    """As JSON what formats with keys and arrays have no place for: see `described`."""
    layers = [
        {"key": key, "name": layer.name, "type": layer.type}
        | {"bottoms": layer.bottoms, "tops": layer.tops}
        for key, layer in zip(stored_under, weights.layers, strict=True)
    ]
    return json.dumps({"name": weights.name, "layers": layers})


def described(text: str | bytes) -> tuple[str, dict[str, LayerWeights]]:
    """The net's name, and its layers, still without blobs, in their order and by their keys.

    Raises ValueError, KeyError or TypeError if `describe` did not write it.
    """
    net = json.loads(text)
    if not isinstance(net, dict):
        raise ValueError("expected a description of a net")
    layers = {}
    for entry in net["layers"]:
        bottoms, tops = ([*map(str, entry[kind])] for kind in ("bottoms", "tops"))
        layer = LayerWeights(str(entry["name"]), [], str(entry["type"]), bottoms, tops)
        layers[str(entry["key"])] = layer
    return str(net["name"]), layers


def listed(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "") or "none"


class _Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def blobs(self) -> Sequence[_Shaped | None]: ...


@dataclass
class _Pair:
    """A layer of a net and the layer that gives it its numbers."""

    mine: Layer
    theirs: _Named
    owned: set[int]  # which of mine's blobs no layer before it has

    def misfits(self, source: str) -> Iterator[str]:
        """What is wrong with it, blob by blob."""
        mine, theirs = self.mine.blobs, self.theirs.blobs
        where = f'layer "{self.mine.name}"'
        missing = self.owned.intersection(range(len(theirs), len(mine)))
        missing |= {i for i, blob in enumerate(theirs) if blob is None and i in self.owned}
        if len(theirs) > len(mine) or missing:
            count = sum(blob is not None for blob in theirs)
            yield f"{where}: the net expects {len(mine)} blob(s), {source} has {count}"
        for i, (blob, other) in enumerate(zip(mine, theirs, strict=False)):
            if other is not None and not fits(blob.shape, other.shape):
                yield (
                    f"{where}, blob {i}: the net expects shape {blob.shape}, {source} has "
                    f"{tuple(other.shape)}"
                )


def _by_name(layers: Iterable[_Named]) -> dict[str, list]:
    """The layers of each name that have blobs; one of those that have none if none has."""
    found: dict[str, list] = defaultdict(list)
    for layer in layers:
        named = found[layer.name]
        if not named or (layer.blobs and named[0].blobs):
            named.append(layer)
        elif layer.blobs:
            named[0] = layer
    return found


def _pairs(layers: Sequence[Layer], given: Iterable[_Named]) -> list[_Pair]:
    """Which layers go together: see `load`."""
    seen: set[int] = set()
    owned: dict[int, set[int]] = {}
    for layer in layers:
        owners = [id(blob.owner) for blob in layer.blobs]
        owned[id(layer)] = {i for i, owner in enumerate(owners) if owner not in seen}
        seen.update(owners)
    mine, pairs = _by_name(layers), []
    for name, theirs in _by_name(given).items():
        if name not in mine:
            _log.info("Ignoring source layer %s", name)
            continue
        for k, layer in enumerate(theirs):
            target = mine[name][min(k, len(mine[name]) - 1)]
            pairs.append(_Pair(target, layer, owned[id(target)]))
    return pairs


def match(layers: Sequence[Layer], given: Sequence[_Named], where: str, source: str) -> list[_Pair]:
    """The layers that have blobs and go together by name, once all of them fit.

    Raises CaffeError, beginning with `where`, that lists every blob that does not fit.
    """
    pairs = _pairs(layers, given)
    problems = [problem for pair in pairs for problem in pair.misfits(source)]
    if problems:
        good = [pair.mine.name for pair in pairs if not [*pair.misfits(source)] and pair.mine.blobs]
        raise CaffeError(
            f"{where}: {'; '.join(problems)}; nothing was copied (fitting layers: {listed(good)}). "
            "Rename a layer to train it from scratch"
        )
    return [pair for pair in pairs if pair.mine.blobs]


def load(layers: Sequence[Layer], weights: NetWeights, path: object) -> None:
    """Copy a file's blobs, and diffs if it has them, into the layers of the same names.

    Layers without a partner are logged and keep their numbers. Where several layers with blobs
    have one name, the k-th of the file goes to the k-th of the net, and what the file has more than
    the net to the last, as in Caffe for a name that the net has once; Caffe itself sends all of a
    name to the first layer. A name that the file has once goes to the first.
    Raises CaffeError naming the file, before anything is copied, if a blob does not fit (every such
    blob is listed) or if no layer at all has a partner.
    """
    pairs = match(layers, weights.layers, str(path), "the file")
    parameters = [layer.name for layer in layers if layer.blobs]
    if parameters and not pairs:
        theirs = [layer.name for layer in weights.layers if layer.blobs]
        raise CaffeError(
            f"{path}: no layer of it is in this net, nothing was copied; the file has weights for "
            f"{listed(theirs)}; the net has {listed(parameters)}"
        )
    for pair in pairs:
        _copy(pair)
    met = {id(pair.mine) for pair in pairs}
    left = [layer.name for layer in layers if layer.blobs and id(layer) not in met]
    if left:
        _log.info("%s has no weights for %s: they keep theirs", path, ", ".join(left))


def _copy(pair: _Pair) -> None:
    assert isinstance(pair.theirs, LayerWeights), "what a file gives"
    for blob, array in zip(pair.mine.blobs, pair.theirs.blobs, strict=False):
        if array is not None:
            blob.data[...] = array.reshape(blob.shape)
    for blob, array in zip(pair.mine.blobs, pair.theirs.diffs, strict=False):
        if array is not None:
            blob.diff[...] = array.reshape(blob.shape)


def share(layers: Sequence[Layer], others: Sequence[Layer]) -> None:
    """Let `layers` use the parameters of the layers of the same names (see `load`) from now on."""
    pairs = match(layers, others, "share_with", "the other net")
    if any(blob.lodged for pair in pairs for blob in pair.mine.blobs):
        raise CaffeError(
            "share_with: this net's parameters are those of a caffe.Module, which would lose them; "
            "share first and make the Module then"
        )
    for pair in pairs:
        for i, (blob, other) in enumerate(zip(pair.mine.blobs, pair.theirs.blobs, strict=False)):
            assert isinstance(other, Blob), "what a layer has"
            if blob.owner is blob and other.owner is not other:
                pair.mine.blobs[i] = other  # a view in another shape has no numbers to share
            else:
                blob.share(other)
