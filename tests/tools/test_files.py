"""files.py: a file is there whole, or as it was before."""

import os

import files
import pytest


def test_writes_into_new_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "table.json"
    files.write_atomically(path, b"first, longer")
    files.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["table.json"]


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    files.write_atomically(path, b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["table.json"]
