"""Running more items than a net's batch holds: pycaffe's `forward_all` and its kin."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe.errors import CaffeError

if TYPE_CHECKING:
    from caffe.net import Net

Arrays = dict[str, np.ndarray]


def _batches(net: "Net", arrays: Mapping[str, Any]) -> Iterator[tuple[Arrays, int]]:
    """(arrays of one batch, how many of its items count); the last batch is filled with zeros."""
    counts = {name: len(array) for name, array in arrays.items()}
    if not counts or len(set(counts.values())) != 1:
        raise CaffeError(f"expected arrays of the same number of items, got {counts or 'none'}")
    total, size = next(iter(counts.values())), net.blobs[net.inputs[0]].shape[0]
    for start in range(0, total, size):
        count = min(size, total - start)
        batch = {}
        for name, array in arrays.items():
            items = np.asarray(array[start : start + count], np.float32)
            filler = np.zeros((size - count, *items.shape[1:]), np.float32)
            batch[name] = np.concatenate([items, filler])
        yield batch, count


def _join(parts: Iterable[Arrays]) -> Arrays:
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _copy(arrays: Arrays, count: int) -> Arrays:
    """The items that count, out of memory that the next batch overwrites."""
    return {name: array[:count].copy() for name, array in arrays.items()}


def forward_all(net: "Net", blobs: Iterable[str] | None, arrays: Mapping[str, Any]) -> Arrays:
    """Outputs and `blobs` of all items; `arrays` has items first, one array for each input."""
    if set(arrays) != set(net.inputs):
        raise CaffeError(f"expected arrays for {net.inputs}, got {sorted(arrays)}")
    wanted = list(blobs or [])
    return _join(
        _copy(net.forward(wanted, None, None, **batch), count)
        for batch, count in _batches(net, arrays)
    )


def forward_backward_all(
    net: "Net",
    blobs: Iterable[str] | None,
    diffs: Iterable[str] | None,
    arrays: Mapping[str, Any],
) -> tuple[Arrays, Arrays]:
    """(outputs and `blobs`, input diffs and `diffs`) of all items.

    `arrays` holds the inputs and, for outputs that are no losses, the diffs to start from.
    """
    missing = set(net.inputs) - set(arrays)
    if missing or not set(arrays) <= {*net.inputs, *net.outputs}:
        raise CaffeError(
            f"expected arrays for {net.inputs} and outputs among {net.outputs}, "
            f"got {sorted(arrays)}"
        )
    wanted, wanted_diffs = list(blobs or []), list(diffs or [])
    forward, backward = [], []
    for batch, count in _batches(net, arrays):
        inputs = {name: batch.pop(name) for name in net.inputs}
        forward.append(_copy(net.forward(wanted, None, None, **inputs), count))
        backward.append(_copy(net.backward(wanted_diffs, None, None, **batch), count))
    return _join(forward), _join(backward)
