"""Lists of images: text files with one image per line."""

import os
from collections.abc import Iterator

import numpy as np

from caffe.errors import CaffeError


def read_lines(path: str | os.PathLike) -> list[tuple[str, str]]:
    """(place, text) of every line that is not blank; place is "file:line", for error messages.

    Raises CaffeError naming the file if it is missing, not text or empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = [(f"{path}:{i}", line.strip()) for i, line in enumerate(file, 1)]
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CaffeError(f"{path}: expected a text file (UTF-8) with one image per line") from None
    lines = [(place, line) for place, line in lines if line]
    if not lines:
        raise CaffeError(f"{path}: expected one image per line, the file is empty")
    return lines


def cycle(count: int, shuffle: bool, skip: int, rng: np.random.Generator) -> Iterator[int]:
    """0 to count - 1 over and over, in a new random order each time if `shuffle`.

    The first round leaves out up to `skip` - 1 records at the front, as many as chance says.
    """
    start = int(rng.integers(skip)) if skip else 0
    while True:
        order = rng.permutation(count) if shuffle else np.arange(count)
        yield from order[start:].tolist()
        start = 0
