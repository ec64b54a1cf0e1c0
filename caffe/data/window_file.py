"""Window files: the images of a detection set with candidate boxes, as R-CNN wrote them."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TextIO

import numpy as np

from caffe.errors import CaffeError

_DIGITS = 9  # of the largest count or size


class Windows(NamedTuple):
    """Images and the windows in them."""

    images: list[str]  # as in the file
    owners: np.ndarray  # (M) which image each window is in
    classes: np.ndarray  # (M) integers
    overlaps: np.ndarray  # (M) float32, with the closest object of that class
    boxes: np.ndarray  # (M, 4) integers: x1, y1, x2, y2 in pixels, inclusive


class _Lines:
    """The lines that are not blank, with the number of the last one taken."""

    def __init__(self, path: str | os.PathLike, file: TextIO) -> None:
        self.path, self.number = path, 0
        self._file = file

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._file, 1):
            if not line.isspace():
                self.number = number
                yield line

    def fail(self, expected: str, got: str) -> CaffeError:
        return CaffeError(f'{self.path}:{self.number}: expected {expected}, got "{got.strip()}"')

    def whole(self, lines: Iterator[str], what: str) -> int:
        text = next(lines, "the end of the file")
        if not text.strip().isdecimal() or len(text.strip()) > _DIGITS:
            raise self.fail(what, text)
        return int(text)


def _table(lines: _Lines, rest: Iterator[str]) -> np.ndarray:
    """The windows of one image (m, 6): class, overlap, x1, y1, x2, y2."""
    count = lines.whole(rest, "the number of windows")
    first, rows = lines.number + 1, list(islice(rest, count))
    if len(rows) != count:
        raise lines.fail(f"{count} windows from line {first} on", "the end of the file")
    if not rows:
        return np.zeros((0, 6), np.float32)
    try:
        table = np.loadtxt(rows, np.float32, comments=None, ndmin=2)
    except ValueError as error:
        raise CaffeError(f"{lines.path}: windows from line {first} on: {error}") from None
    if table.shape[1] != 6 or not np.isfinite(table).all():
        raise lines.fail("class overlap x1 y1 x2 y2, six numbers", rows[-1])
    return table


def read(path: str | os.PathLike) -> Windows:
    """All images and windows of a file.

    For each image: "# index" counting from 0, the path, then channels (3), height, width and the
    number of windows, one per line; then a line "class overlap x1 y1 x2 y2" per window.
    Raises CaffeError naming file and line if it is missing or not like that.
    """
    images: list[str] = []
    tables: list[np.ndarray] = []
    try:
        with open(path, encoding="utf-8") as file:
            lines = _Lines(path, file)
            rest = iter(lines)
            for header in rest:
                if header.split() != ["#", str(len(images))]:
                    raise lines.fail(f'"# {len(images)}", the next image\'s index', header)
                images.append(next(rest, "").strip())
                if lines.whole(rest, "the number of channels") != 3:
                    raise lines.fail("3 channels (WindowData reads colour images)", "another")
                lines.whole(rest, "the image's height")
                lines.whole(rest, "the image's width")
                tables.append(_table(lines, rest))
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CaffeError(f"{path}: expected text in UTF-8") from None
    if not images:
        raise CaffeError(f"{path}: expected images with windows, the file has none")
    table = np.concatenate(tables)
    owners = np.repeat(np.arange(len(images)), [len(one) for one in tables])
    boxes = table[:, 2:].astype(int)
    return Windows(images, owners, table[:, 0].astype(int), table[:, 1], boxes)
