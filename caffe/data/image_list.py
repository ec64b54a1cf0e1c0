"""Lists of images: text files with one image per line."""

import os
import weakref
from collections.abc import Iterator

import numpy as np

from caffe.errors import CaffeError


class Lines:
    """The lines of a text file that are not blank, read when they are asked for.

    lines[i] is (place, text), place being "file:line" for error messages. Only the lines' positions
    are kept in memory: a list with 500 boxes per image has over a gigabyte of text.
    Raises CaffeError naming the file if it is missing or empty, or the line if it is not text.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path
        self._spans: list[tuple[int, int, int]] = []
        start = 0
        try:
            # No memory map: a list that somebody shortens meanwhile would end the process.
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            with open(self._file, "rb", closefd=False) as file:
                for number, line in enumerate(file, 1):
                    if not line.isspace():
                        self._spans.append((number, start, start + len(line)))
                    start += len(line)
        except OSError as error:
            raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
        if not self._spans:
            what = "all lines are blank" if start else "the file is empty"
            raise CaffeError(f"{path}: expected one image per line, {what}")

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> tuple[str, str]:
        number, start, end = self._spans[index]
        line = os.pread(self._file, end - start, start)
        if len(line) < end - start:
            raise CaffeError(f"{self.path}:{number}: the list was shortened while it is in use")
        try:
            return f"{self.path}:{number}", line.decode().strip()
        except UnicodeDecodeError:
            raise CaffeError(f"{self.path}:{number}: expected text in UTF-8") from None


def cycle(count: int, shuffle: bool, skip: int, rng: np.random.Generator) -> Iterator[int]:
    """0 to count - 1 over and over, in a new random order each time if `shuffle`.

    The first round leaves out 0 to skip - 1 records at the front, as many as chance says.
    """
    start = int(rng.integers(skip)) if skip else 0
    while True:
        order = rng.permutation(count) if shuffle else np.arange(count)
        yield from order[start:].tolist()
        start = 0
