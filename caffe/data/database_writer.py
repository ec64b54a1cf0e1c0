"""Writing databases of records, LMDB or LevelDB, that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lmdb

from caffe.errors import CaffeError

Records = Sequence[tuple[bytes, bytes]]

_BATCH = 64 << 20  # bytes of records per transaction


class _Lmdb:
    """An LMDB that grows as it fills."""

    def __init__(self, folder: str) -> None:
        self._environment = lmdb.open(folder, map_size=4 * _BATCH, sync=False)

    def write(self, records: Records) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    transaction.cursor().putmulti(records)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def close(self) -> None:
        self._environment.sync(True)
        self._environment.close()


class _LevelDb:
    def __init__(self, folder: str) -> None:
        import plyvel  # there is none for Windows

        self._database = plyvel.DB(folder, create_if_missing=True, write_buffer_size=_BATCH)

    def write(self, records: Records) -> None:
        with self._database.write_batch(sync=True) as batch:
            for key, value in records:
                batch.put(key, value)

    def close(self) -> None:
        self._database.close()


_BACKENDS: dict[str, Callable[[str], Any]] = {"lmdb": _Lmdb, "leveldb": _LevelDb}
BACKENDS = tuple(_BACKENDS)


class DatabaseWriter:
    """A context that writes records into a new database at `path`.

    backend: "lmdb" or "leveldb". Until the context ends well the records are in a hidden folder
    beside `path`; after an exception nothing is left.
    Raises CaffeError naming the path if it is there already or cannot be written.
    """

    def __init__(self, path: str | os.PathLike, backend: str) -> None:
        if backend not in _BACKENDS:
            raise CaffeError(f'backend "{backend}": expected one of {", ".join(_BACKENDS)}')
        self._path, self._backend = Path(path), backend
        self._waiting: list[tuple[bytes, bytes]] = []
        self._size = 0

    def __enter__(self) -> "DatabaseWriter":
        if os.path.lexists(self._path):
            raise CaffeError(f"{self._path}: is there already; remove it or give another name")
        try:
            parent = self._path.parent
            self._folder = tempfile.mkdtemp(dir=parent, prefix=f".{self._path.name}.")
            os.chmod(self._folder, 0o755)
        except OSError as error:
            raise CaffeError(f"{self._path}: cannot write: {error.strerror}") from None
        self._database = _BACKENDS[self._backend](self._folder)
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record, or replace the one with this key."""
        self._waiting.append((key, value))
        self._size += len(key) + len(value)
        if self._size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._database.write(self._waiting)
        self._waiting, self._size = [], 0

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            self._database.close()
            if kind is None:
                os.rename(self._folder, self._path)
        except (OSError, lmdb.Error) as error:
            raise CaffeError(f"{self._path}: cannot write: {error}") from None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
