"""Changing and comparing weights files' layers without a net: what `caffe weights` does."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from caffe.errors import CaffeError
from caffe.weights import LayerWeights, NetWeights, fits, listed

_Key = tuple[str, bool, int]


def _by_key(layers: Sequence[LayerWeights]) -> dict[_Key, LayerWeights]:
    """The layers by name, whether they have blobs, and the how-manieth of those they are."""
    seen: Counter[tuple[str, bool]] = Counter()
    found = {}
    for layer in layers:
        kind = (layer.name, bool(layer.blobs))
        found[*kind, seen[kind]] = layer
        seen[kind] += 1
    return found


# -- rename ----------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    text: str
    rename: Callable[[str], str | None]  # None for a name that it does not fit


def _glob(old: str, new: str) -> tuple[str, str]:
    """A glob and what to put for it, as a regular expression and its template."""
    parts = re.split(r"([*?])", old)
    pattern = "".join({"*": "(.*)", "?": "(.)"}.get(part, re.escape(part)) for part in parts)
    pieces = [piece.replace("\\", r"\\") for piece in new.split("*")]
    groups = [rf"\g<{i}>" for i in range(1, len(pieces))]
    template = "".join(piece + group for piece, group in zip_longest(pieces, groups, fillvalue=""))
    return pattern, template


def _rule(text: str, regex: bool) -> _Rule:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise CaffeError(f'rule "{text}": expected OLD=NEW')
    pattern, template = (old, new) if regex else _glob(old, new)
    try:
        expression = re.compile(pattern)
        expression.sub(template, "")  # so that a template which is no good fails now

        def rename(name: str) -> str | None:
            match = expression.fullmatch(name)
            return match.expand(template) if match else None

        return _Rule(text, rename)
    except (re.error, IndexError) as error:
        raise CaffeError(f'rule "{text}": {error}') from None


def rename(weights: NetWeights, rules: Sequence[str], regex: bool = False) -> NetWeights:
    """The same with other names of layers; each rule is "OLD=NEW", the first that fits counts.

    OLD may hold * (any text) and ? (any character), and each * of NEW stands for what the next of
    them was; with `regex` OLD is a regular expression for the whole name and NEW may hold its
    groups as \\1. Raises CaffeError for a rule that fits no layer, or if two layers with blobs that
    had different names get the same.
    """
    made = [_rule(rule, regex) for rule in rules]
    used: set[str] = set()
    layers = []
    for layer in weights.layers:
        new = layer.name
        for rule in made:
            if (renamed := rule.rename(layer.name)) is not None:
                new = renamed
                used.add(rule.text)
                break
        layers.append(replace(layer, name=new))
    idle = [rule.text for rule in made if rule.text not in used]
    names = [layer.name for layer in weights.layers if layer.blobs]
    if idle:
        raise CaffeError(f'rule "{idle[0]}": it fits no layer (with weights: {listed(names)})')
    _check_distinct(weights.layers, layers)
    return NetWeights(layers, weights.name)


def _check_distinct(before: Sequence[LayerWeights], after: Sequence[LayerWeights]) -> None:
    origin: dict[str, str] = {}
    for old, new in zip(before, after, strict=True):
        if old.blobs and origin.setdefault(new.name, old.name) != old.name:
            raise CaffeError(
                f'layers "{origin[new.name]}" and "{old.name}" would both be called "{new.name}"'
            )


# -- merge -----------------------------------------------------------------------------------------


def merge(nets: Sequence[NetWeights], prefixes: Sequence[str]) -> tuple[NetWeights, list[str]]:
    """All layers of all nets, each net's names with its prefix in front; what was replaced.

    Of layers with one name in several nets the last counts, in the first one's place.
    """
    found: dict[_Key, LayerWeights] = {}
    replaced = []
    for net, prefix in zip(nets, prefixes, strict=True):
        layers = [replace(layer, name=prefix + layer.name) for layer in net.layers]
        new = _by_key(layers)
        replaced += [key[0] for key in new if key in found and found[key].blobs]
        found |= new
    return NetWeights(list(found.values()), nets[0].name), replaced


# -- compare ---------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """How a layer of two files differs: by its largest difference of two numbers, or by `words`."""

    name: str
    largest: float  # nan if numbers are, infinite where there is nothing to compare with
    words: str = ""


def differences(one: NetWeights, two: NetWeights) -> Iterator[Difference]:
    """Layer by layer, those with blobs, in the order of the first file, then what it lacks."""
    mine, theirs = (_by_key([layer for layer in net.layers if layer.blobs]) for net in (one, two))
    for key, layer in mine.items():
        if key in theirs:
            yield _difference(layer, theirs[key])
        else:
            yield Difference(layer.name, np.inf, "only in the first")
    for key, layer in theirs.items():
        if key not in mine:
            yield Difference(layer.name, np.inf, "only in the second")


def _difference(mine: LayerWeights, theirs: LayerWeights) -> Difference:
    if len(mine.blobs) != len(theirs.blobs):
        words = f"{len(mine.blobs)} and {len(theirs.blobs)} blobs"
        return Difference(mine.name, np.inf, words)
    largest = [0.0]
    for a, b in zip(mine.blobs, theirs.blobs, strict=True):
        if a is None or b is None:  # the layer that owns it is compared
            continue
        if not (fits(a.shape, b.shape) or fits(b.shape, a.shape)):
            return Difference(mine.name, np.inf, f"shapes {a.shape} and {b.shape}")
        if not np.array_equal(a.ravel(), b.ravel(), equal_nan=True):
            with np.errstate(invalid="ignore"):  # of infinities
                largest.append(float(np.abs(a.ravel() - b.ravel()).max()))
    return Difference(mine.name, float(np.max(largest)))
