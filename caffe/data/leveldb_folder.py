"""Reading LevelDB databases."""

import os
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from caffe.errors import CaffeError


def _plyvel() -> Any:
    """The binding; imported here because not every machine that runs nets has it."""
    try:
        import plyvel
    except ImportError as error:
        raise CaffeError(
            f"LevelDB needs the package plyvel (pip install plyvel): {error}"
        ) from None
    return plyvel


class LevelDbFolder:
    """The records of the LevelDB in a folder.

    Iterating gives (key, value) in the order of the keys, once through, as of its beginning; every
    block's checksum is compared.
    Raises CaffeError naming the path if plyvel or the database is missing, the database is open
    elsewhere or damaged, at the latest when the damaged place is reached.
    """

    def __init__(self, path: str) -> None:
        self.path, self._plyvel = path, _plyvel()
        # LevelDB itself would make the missing folder, or put files into one that is none of its.
        if not os.path.isfile(os.path.join(path, "CURRENT")):
            lmdb = os.path.isfile(os.path.join(path, "data.mdb"))
            hint = "it is an LMDB: give backend: LMDB" if lmdb else "it has no file CURRENT"
            raise CaffeError(f"{path}: cannot open as LevelDB: {hint}")
        try:
            self._database = self._plyvel.DB(path)
        except self._plyvel.Error as error:
            raise self._fail("cannot open as LevelDB", error) from None

    def _fail(self, what: str, error: Exception) -> CaffeError:
        text = error.args[0].decode(errors="replace") if error.args else type(error).__name__
        hint = "; close what else has it open, or copy the folder" if "/LOCK" in text else ""
        return CaffeError(f"{self.path}: {what}: {text}{hint}")

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            # The plain iterator passes over a damaged first block without a word.
            with self._database.raw_iterator(verify_checksums=True) as records:
                records.seek_to_first()
                while records.valid():
                    yield records.item()
                    records.next()
        except self._plyvel.Error as error:
            raise self._fail("cannot read the LevelDB", error) from None


# LevelDB lets one process at a time open a database, and that once, so nets share it.
_SHARED: WeakValueDictionary[str, LevelDbFolder] = WeakValueDictionary()


def open_leveldb(path: str) -> LevelDbFolder:
    """The LevelDB in a folder, opened once however many read it; see LevelDbFolder."""
    key = os.path.realpath(path)
    database = _SHARED.get(key)
    if database is None:
        _SHARED[key] = database = LevelDbFolder(path)
    return database
