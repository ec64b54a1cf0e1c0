"""Reading LMDB files without trusting them.

The lmdb package maps the file and follows what it finds there: with a file that was cut off, or a
page that was lost, it ends the process by a signal (SIGBUS or a failed assertion), and it refuses a
database that the user's script has opened already. Reading needs so little of the format that this
reader does it with a check at every step.

The format (LMDB 0.9, 64 bit, little endian): pages of one size. Pages 0 and 1 are meta pages, of
which the one with the higher transaction counts; it names the root of a B+ tree. Branch and leaf
pages hold offsets to their nodes, sorted by key; too long values lie on pages of their own.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from caffe.errors import CaffeError

_PAGE = struct.Struct("<QHHHH")  # its own number, padding, flags, end of offsets, start of nodes
_META = struct.Struct("<IIQQ48x48sQQ")  # magic, version, -, -, (free pages), main tree, -, number
_TREE = struct.Struct("<4xHHQQQQQ")  # flags, depth, branch, leaf, overflow pages, records, root
_NODE = struct.Struct("<HHHH")  # size or child, in two halves, flags, key size
_MAGIC, _VERSION, _EMPTY = 0xBEEFC0DE, 1, 2**64 - 1
_BEGIN = struct.pack("<I", _MAGIC)
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_LONG_VALUE = 1
_PAGE_SIZE_AT = _PAGE.size + 24
_PAGE_SIZES = {2**i for i in range(8, 17)}
_DEEPEST = 32


class _Node(NamedTuple):
    key: bytes
    low: int  # the value's size; in a branch the child's page, with `flags` its upper bits
    flags: int
    value: bytes  # what of the page follows the key


class LmdbFile:
    """The records of the LMDB database in a folder, or of a file written with MDB_NOSUBDIR.

    Iterating gives (key, value) in the order of the keys, once through, as of the last transaction
    that was committed when the file was opened.
    Raises CaffeError naming the path if it is missing, no LMDB or damaged, at the latest when the
    damaged place is reached.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path
        name = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        try:
            with open(name, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise CaffeError(f"{path}: cannot open as LMDB: the file is empty") from None
        except OSError as error:
            raise CaffeError(f"{path}: cannot open as LMDB: {error.strerror}") from None
        self._read_meta()

    def _fail(self, what: str) -> CaffeError:
        return CaffeError(f"{self.path}: the LMDB is damaged: {what}; write it again")

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > len(self._map):
            raise self._fail(f"expected at least {start + size} bytes, it has {len(self._map)}")
        return self._map[start : start + size]

    def _meta(self, number: int) -> tuple:
        content = self._bytes(number * self._page_size + _PAGE.size, _META.size)
        magic, version, _, _, tree, _, transaction = _META.unpack(content)
        if (magic, version) != (_MAGIC, _VERSION):
            raise self._fail(f"page {number} is no meta page of version {_VERSION}")
        return transaction, _TREE.unpack(tree)

    def _read_meta(self) -> None:
        if self._map[_PAGE.size : _PAGE.size + len(_BEGIN)] != _BEGIN:
            raise CaffeError(f"{self.path}: cannot open as LMDB: the file does not begin like one")
        self._page_size = int.from_bytes(self._bytes(_PAGE_SIZE_AT, 4), "little")
        if self._page_size not in _PAGE_SIZES:
            raise self._fail(f"page size {self._page_size}")
        _, (flags, self._depth, _, _, _, self._count, self._root) = max(map(self._meta, (0, 1)))
        if flags:
            raise CaffeError(f"{self.path}: expected an LMDB of plain records, flags {flags:#x}")
        if self._depth > _DEEPEST or self._count * _NODE.size > len(self._map):
            raise self._fail(f"{self._count} records in a tree {self._depth} pages deep")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        found = 0
        if self._root != _EMPTY:
            for found, record in enumerate(self._below(self._root, self._depth), 1):
                if found > self._count:
                    break
                yield record
        if found != self._count:
            raise self._fail(f"expected {self._count} records, found {found}")

    def _below(self, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
        """The records in a subtree of `depth` levels, which bounds what a wrong link costs."""
        nodes = self._nodes(number, _LEAF if depth == 1 else _BRANCH)
        for node in nodes:
            if depth > 1:
                yield from self._below(node.low | node.flags << 32, depth - 1)
            else:
                yield node.key, self._value(node)

    def _nodes(self, number: int, kind: int) -> Iterator[_Node]:
        page = self._bytes(number * self._page_size, self._page_size)
        own, _, flags, lower, _ = _PAGE.unpack_from(page)
        if own != number or not flags & kind or not _PAGE.size <= lower <= self._page_size:
            raise self._fail(f"page {number} is no {'leaf' if kind == _LEAF else 'branch'} page")
        for at in struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", page, _PAGE.size):
            if at + _NODE.size > self._page_size:
                raise self._fail(f"page {number} has a record outside of it")
            low, high, flags, size = _NODE.unpack_from(page, at)
            start = at + _NODE.size
            key, value = page[start : start + size], page[start + size :]
            yield _Node(key, low | high << 16, flags, value)

    def _value(self, node: _Node) -> bytes:
        if node.flags & ~_LONG_VALUE:
            raise CaffeError(
                f"{self.path}: expected an LMDB of plain records, got a database in it"
            )
        if not node.flags:
            if len(node.value) < node.low:
                raise self._fail(f"record {node.key!r} ends outside of its page")
            return node.value[: node.low]
        number = int.from_bytes(node.value[:8], "little")
        start = number * self._page_size
        own, _, flags, _, _ = _PAGE.unpack(self._bytes(start, _PAGE.size))
        if own != number or not flags & _OVERFLOW:
            raise self._fail(f"record {node.key!r}: page {number} holds no value")
        return self._bytes(start + _PAGE.size, node.low)
