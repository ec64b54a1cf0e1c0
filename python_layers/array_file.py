"""Named arrays in one file: raw little-endian data behind a checked header, read memory-mapped.

    offset  bytes  content
    0       8      magic b"MLICARR\\n"
    8       4      version, uint32 (1)
    12      4      H = length of the header, uint32
    16      H      header: JSON {"arrays": {name: {"dtype", "shape", "offset"}}, "meta": {...}}
    16+H    ...    zeros up to the next multiple of 64: here the data begin
    data    ...    each array in C order at `offset` bytes from the beginning of the data,
                   a multiple of 64, zeros between; nothing after the last array

dtype is "|u1", "<i4", "<i8", "<f2" or "<f4" (numpy's names). Nothing is pickled.
"""

import contextlib
import json
import math
import os
import pathlib
import struct

import numpy as np

MAGIC = b"MLICARR\n"
VERSION = 1
PREFIX = struct.Struct("<8sII")
ALIGNMENT = 64
DTYPES = ("|u1", "<i4", "<i8", "<f2", "<f4")


class DataError(ValueError):
    """Data that cannot be used, in one line: file and line or image, expected, got, remedy."""


@contextlib.contextmanager
def atomic_file(path):
    """Open a binary file for writing that appears under `path` whole or not at all."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def aligned(offset):
    """The next multiple of ALIGNMENT."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def make_head(path, arrays, meta):
    """(head, offsets, size) of the file `path` that holds {name: (dtype, shape)}.

    head are the bytes up to the data, offsets where in the file each array begins, size is the
    number of bytes in all.
    """
    layout, offset, end = {}, 0, 0
    for name, (dtype, shape) in arrays.items():
        if dtype not in DTYPES:
            raise TypeError(f"{path}: array {name}: dtype {dtype} is not in {DTYPES}")
        layout[name] = {"dtype": dtype, "shape": shape, "offset": offset}
        end = offset + math.prod(shape) * np.dtype(dtype).itemsize
        offset = aligned(end)
    header = json.dumps({"arrays": layout, "meta": meta}, sort_keys=True).encode()
    head = PREFIX.pack(MAGIC, VERSION, len(header)) + header
    head += bytes(aligned(len(head)) - len(head))
    offsets = {name: len(head) + entry["offset"] for name, entry in layout.items()}
    return head, offsets, len(head) + end


def write_arrays(path, arrays, meta):
    """Write {name: array} and the JSON-able `meta` to `path`, atomically."""
    shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    head, offsets, _ = make_head(path, shapes, meta)
    with atomic_file(path) as file:
        file.write(head)
        for name, array in arrays.items():
            file.write(bytes(offsets[name] - file.tell()))
            file.write(np.ascontiguousarray(array).data if array.size else b"")


def reserve_arrays(path, arrays, meta):
    """Make a file of zeros for {name: (dtype, shape)}, atomically, taking its disk space at once.

    Raises OSError naming the file where the disk has too little.
    """
    head, _, size = make_head(path, arrays, meta)
    with atomic_file(path) as file:
        file.write(head)
        file.flush()
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot reserve {size:,} bytes: {error.strerror}", str(path)
            ) from None


def read_header(path):
    """(layout, meta, first data byte) of an array file."""
    with open(path, "rb") as file:
        prefix = file.read(PREFIX.size)
        if len(prefix) < PREFIX.size or not prefix.startswith(MAGIC):
            raise DataError(f"{path}: expected an array file that begins with {MAGIC}, "
                            f"got {prefix[:8]}; make it again")  # fmt: skip
        _, version, length = PREFIX.unpack(prefix)
        if version != VERSION:
            raise DataError(f"{path}: expected version {VERSION}, got {version}; make it again")
        try:
            header = json.loads(file.read(length))
            return header["arrays"], header["meta"], aligned(PREFIX.size + length)
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: the header is not valid JSON; make it again") from None


def read_arrays(path):
    """({name: read-only array in a memory map}, meta) of an array file."""
    layout, meta, begin = read_header(path)
    # A plain view of the map: slices of np.memmap itself are slow to make.
    content = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    arrays = {}
    for name, entry in layout.items():
        dtype, shape, offset = entry["dtype"], tuple(entry["shape"]), entry["offset"]
        if dtype not in DTYPES or min((offset, *shape)) < 0:
            raise DataError(f"{path}: array {name}: impossible entry {entry}; make it again")
        start = begin + offset
        stop = start + math.prod(shape) * np.dtype(dtype).itemsize
        if stop > len(content):
            raise DataError(
                f"{path}: array {name}: expected {stop} bytes, got {len(content)}; "
                "the file is truncated: make it again"
            )
        arrays[name] = content[start:stop].view(dtype).reshape(shape)
    return arrays, meta
