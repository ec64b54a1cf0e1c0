"""Whole files or none, for what the tools write."""

from __future__ import annotations

import pathlib

from python_layers.array_file import atomic_file


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Replace `path` by `content`, making its folder; no reader or crash ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(content)
