"""Databases of records, LMDB or LevelDB, read from front to back over and over."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from caffe.data.leveldb_folder import open_leveldb
from caffe.data.lmdb_file import LmdbFile
from caffe.errors import CaffeError

Database = Iterable[tuple[bytes, bytes]]

_OPEN: dict[str, Callable[[str], Database]] = {"lmdb": LmdbFile, "leveldb": open_leveldb}


def open_database(path: str | os.PathLike, backend: str) -> Database:
    """The database at `path`; iterating it gives each (key, value) once, in the order of the keys.

    backend: "lmdb" or "leveldb". Raises CaffeError naming the path if it is missing, of another
    kind, damaged or without records.
    """
    database = _OPEN[backend](os.fspath(path))
    if next(iter(database), None) is None:
        raise CaffeError(f"{path}: expected a database with records, it is empty")
    return database


def records(database: Database, skip: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) in the order of the keys, without end, from record number `skip` on."""
    return islice(_rounds(database), skip, None)


def _rounds(database: Database) -> Iterator[tuple[bytes, bytes]]:
    while True:
        yield from database
