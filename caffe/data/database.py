"""LMDB databases, read from front to back over and over."""

import os
from collections.abc import Iterator
from itertools import islice
from weakref import WeakValueDictionary

import lmdb

from caffe.errors import CaffeError

# A process may open a database only once, so nets that read the same one share it.
_OPEN: WeakValueDictionary[str, lmdb.Environment] = WeakValueDictionary()


def open_lmdb(path: str | os.PathLike) -> lmdb.Environment:
    """The database in a folder (or file), for reading.

    Raises CaffeError naming the path if it is missing, no LMDB or without records.
    """
    key = os.path.realpath(path)
    environment = _OPEN.get(key)
    try:
        if environment is None:
            environment = lmdb.open(key, readonly=True, lock=False, subdir=os.path.isdir(key))
            _OPEN[key] = environment
        count = environment.stat()["entries"]
    except lmdb.Error as error:
        raise CaffeError(f"{path}: cannot open as LMDB: {error}") from None
    if not count:
        raise CaffeError(f"{path}: expected a database with records, it is empty")
    return environment


def _rounds(environment: lmdb.Environment) -> Iterator[tuple[bytes, bytes]]:
    with environment.begin() as transaction:
        while True:
            yield from transaction.cursor()


def records(environment: lmdb.Environment, skip: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) in the order of the keys, without end, from record number `skip` on."""
    return islice(_rounds(environment), skip, None)
