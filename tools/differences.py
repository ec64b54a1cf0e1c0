"""How far two engines' numbers are apart: what tools/record_caffe.py wrote for each.

Of a blob, its gradient, or a weight that was read from a file, a in this engine and b in the other:

    relative difference = max |a - b| / max(max |b|, floor)

Of the weights w after solver steps, which started at v, with |x| the length of x as a vector:

    relative difference = |a - b| / max(|b - v|, 0.001 |v|, floor)

that is, of what the steps changed, down to changes that float32 hardly holds. Shapes may differ in
axes of length 1. Numbers that are no numbers (NaN) or infinite agree where both have the same;
elsewhere, and where shapes or sizes differ, the relative difference is infinite. An array that only
one side has counts as infinite, too, unless it is a copy that a Split layer makes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEAST_CHANGE = 1e-3
# In the order in which they are computed.
KINDS = ("weights read", "data", "gradient", "weight gradient", "weights after")
Key = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """One array of both engines.

    kind, name: what it is; a parameter's name is "layer[i]". shape: ours, or the other's.
    largest: max |b|. relative: see above; None if the two cannot be compared and need not be.
    note: why they cannot be.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    largest: float
    relative: float | None
    note: str = ""


def read_index(folder: Path) -> dict[Key, Path]:
    """{(kind, name): file} in the order of recording."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return {(kind, text(name)): folder / file for kind, name, file in index}


def text(name: str | list) -> str:
    """A blob's name, or "layer[i]" of [layer, i]."""
    return name if isinstance(name, str) else f"{name[0]}[{name[1]}]"


def compare(ours: Path, theirs: Path, floor: float) -> list[Row]:
    """A row for each array that either folder has, kind after kind, in the order of computing."""
    mine, other = read_index(ours), read_index(theirs)
    rows = []
    for kind in KINDS:
        keys = [key for key in mine if key[0] == kind]
        keys += [key for key in other if key[0] == kind and key not in mine]
        if kind in ("gradient", "weight gradient"):
            keys.reverse()
        for key in keys:
            start = mine.get(("weights start", key[1])) if kind == "weights after" else None
            rows.append(row(key, mine.get(key), other.get(key), start, floor))
    return rows


def load(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False, mmap_mode="r")


def row(key: Key, mine: Path | None, other: Path | None, start: Path | None, floor: float) -> Row:
    """Compare the two files, of which one may be missing."""
    if mine is None or other is None:
        array = load(mine or other)
        note = "only here" if mine else "only in the original"
        return Row(
            *key, array.shape, largest(array), None if "_split_" in key[1] else math.inf, note
        )
    a, b = load(mine), load(other)
    if squeezed(a) != squeezed(b):
        return Row(*key, a.shape, largest(b), math.inf, f"{b.shape} in the original")
    shape = a.shape
    a, b = a.reshape(-1), b.reshape(-1)
    scale = largest(b)
    distance = largest_distance
    if start is not None:
        v = load(start).reshape(-1)
        scale = max(length(b - v), LEAST_CHANGE * length(v))
        distance = vector_distance
    relative = relative_difference(a, b, max(scale, floor), distance)
    return Row(*key, shape, largest(b), relative)


def relative_difference(
    a: np.ndarray, b: np.ndarray, scale: float, distance: Callable[[np.ndarray, np.ndarray], float]
) -> float:
    """The distance over the scale; infinite where only one is finite, or both differ in how not."""
    finite = np.isfinite(b)
    if (
        not np.array_equal(a[~finite], b[~finite], equal_nan=True)
        or not np.isfinite(a[finite]).all()
    ):
        return math.inf
    return distance(a[finite], b[finite]) / scale


def largest_distance(a: np.ndarray, b: np.ndarray) -> float:
    return largest(a - b)


def vector_distance(a: np.ndarray, b: np.ndarray) -> float:
    return length(a - b)


def largest(x: np.ndarray) -> float:
    """max |x| of the finite numbers, 0 without any."""
    return float(np.max(np.abs(x), where=np.isfinite(x), initial=0))


def length(x: np.ndarray) -> float:
    return float(np.linalg.norm(x[np.isfinite(x)]))


def squeezed(x: np.ndarray) -> tuple[int, ...]:
    return tuple(size for size in x.shape if size != 1)


def is_above(row: Row, allowed: Mapping[str, float]) -> bool:
    """Whether its relative difference is more than its kind is allowed."""
    return row.relative is not None and row.relative > allowed[row.kind]


def first_above(rows: list[Row], allowed: Mapping[str, float]) -> Row | None:
    """The first in the order of computing that is above what is allowed."""
    return next((row for row in rows if is_above(row, allowed)), None)


def sort(rows: list[Row], first: Row | None) -> list[Row]:
    """The first that departs, then the others by their relative difference, largest first."""
    rest = [row for row in rows if row is not first]
    rest.sort(key=lambda row: -1.0 if row.relative is None else row.relative, reverse=True)
    return [first, *rest] if first else rest
