"""What the frozen teacher says about every image of a prepared set, as a file of arrays.

N images in V variants, (side, mirrored) as the data layer delivers them. Of T places per image and
variant the first `rows` are filled:

    rows      (V,N) int32: 1..T, or 0 while the teacher has not been asked
    boxes     (V,N,T,5) float32: a box x1, y1, x2, y2 (inclusive, pixels of the teacher's image)
              and its weight s' or score
    features  (V,N,T,D) float32 or float16: of that box, F^T (all taps, times s') or fc7
    p         (V,N,T,K) float32: tempered or softened prediction, T = 1
    map       (V,N,T,...) float32 or float16: conv5_3 or its attention map, T = 1

What a stage needs of these is in ASKED of tools/teacher.py: boxes and features, p, or map.

meta: `variants`, a list of V [side, mirrored]; `fingerprint`, the SHA-256 of each of PARTS, the
precision by its name; `command`, which makes the file. Source: tools/cache_teacher.py; readers map
it into memory.
"""

import contextlib
import hashlib
import math
import os
import pathlib

import numpy as np

from python_layers.array_file import DataError, make_head, read_arrays, read_header, reserve_arrays

PARTS = {
    "weights": "the teacher's weights",
    "net": "the teacher's part of the net",
    "precision": "the precision",
    "proposals": "the proposals",
    "images": "the image list",
}
TOOL = "python tools/cache_teacher.py"


def file_sha256(path):
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def fingerprint(prepared):
    """SHA-256 of a prepared set's image list and of its proposals; DataError without these."""
    prepared.proposals(0, 1)  # that is, they are there and of this list
    proposals = file_sha256(prepared.folder / "proposals.arr")
    return {"images": prepared.images_sha256, "proposals": proposals}


def variants_of(options):
    """(side, mirrored) of every way in which a data layer with these options delivers an image."""
    flips = (False, True) if options["mirror"] else (False,)
    return [(side, flip) for side in options["scales"] for flip in flips]


def variant_text(variant):
    """A variant in words: "192" or "192 mirrored"."""
    side, mirrored = variant
    return f"{side} mirrored" if mirrored else f"{side}"


def shapes_of(arrays, variants, images):
    """{name: (dtype, shape)} of the file, `arrays` being {name: (dtype, (T, ...))}."""
    entries = len(variants), images
    rows = {"rows": ("<i4", entries)}
    others = {name: (dtype, (*entries, *shape)) for name, (dtype, shape) in arrays.items()}
    return {**rows, **others}


class TeacherCache:
    """A cache to read from; `command` is what makes it, by default what has made it.

    images    N
    variants  {(side, mirrored): v}
    rows      (V,N), arrays {name: (V,N,T,...)} of the others by name; read-only
    Raises DataError naming the file, and the command to run, where it cannot be used.
    """

    def __init__(self, path, command=None):
        self.path = pathlib.Path(path)
        if not self.path.exists():
            raise DataError(f"{path}: no such cache; make it: {command or TOOL}")
        try:
            arrays, meta = read_arrays(path)
        except DataError as error:
            raise DataError(f"{error}: {command or TOOL} --rebuild") from None
        try:
            self.rows = arrays.pop("rows")
            self.arrays = dict(sorted(arrays.items()))
            variants = enumerate(meta["variants"])
            self.variants = {(side, mirrored): v for v, (side, mirrored) in variants}
            self.fingerprint, self.command = meta["fingerprint"], command or meta["command"]
            self.images = self.rows.shape[1]
        except (KeyError, TypeError, ValueError, IndexError):
            raise DataError(
                f"{path}: expected a teacher's cache, got another array file; make it: "
                f"{command or TOOL} --rebuild"
            ) from None

    def check(self, **fingerprint):
        """DataError naming those of PARTS that are not what the cache was made with."""
        changed = [
            title
            for part, title in PARTS.items()
            if part in fingerprint and fingerprint[part] != self.fingerprint.get(part)
        ]
        if changed:
            raise DataError(
                f"{self.path}: changed since it was made: {', '.join(changed)}; make it again: "
                f"{self.command} --rebuild"
            )

    def check_variants(self, variants):
        """DataError unless the cache has places for each of these (side, mirrored)."""
        lacking = [variant for variant in variants if variant not in self.variants]
        if lacking:
            raise DataError(
                f"{self.path}: expected images of side {variant_text(lacking[0])}, got "
                f"{', '.join(map(variant_text, self.variants))}; make it again: "
                f"{self.command} --rebuild"
            )

    def check_complete(self, variants):
        """DataError unless each of these (side, mirrored) is there, with every image."""
        self.check_variants(variants)
        missing = self.missing(variants)
        if missing:
            total = len(variants) * self.images
            raise DataError(
                f"{self.path}: {missing:,} of {total:,} entries are missing; go on: {self.command}"
            )

    def missing(self, variants):
        """For how many images of these variants, which it has, the teacher was not asked."""
        return sum(int((self.rows[self.variants[v]] == 0).sum()) for v in variants)

    def read(self, side, mirrored, index):
        """The filled places of one image: arrays (rows, ...) in the order of `arrays`."""
        variant = self.variants[side, mirrored]
        rows = self.rows[variant, index]
        return [array[variant, index, :rows] for array in self.arrays.values()]


def create(path, arrays, variants, images, meta):
    """Reserve an empty cache at `path`; the arguments as shapes_of takes them, meta beside it."""
    meta = {**meta, "variants": [list(variant) for variant in variants]}
    reserve_arrays(path, shapes_of(arrays, variants, images), meta)


def size_of(path, arrays, variants, images, meta):
    """The bytes of the file that `create` would make."""
    meta = {**meta, "variants": [list(variant) for variant in variants]}
    return make_head(path, shapes_of(arrays, variants, images), meta)[2]


class Writer:
    """Fills a cache, entry by entry; an entry counts only when all of it is on the disk.

    Use it inside `only_run`: two writers of one file would not see each other.
    """

    def __init__(self, path, file):
        self.path, self.file = path, file
        layout, _, begin = read_header(path)
        self.places = {
            name: (begin + entry["offset"], np.dtype(entry["dtype"]), tuple(entry["shape"]))
            for name, entry in layout.items()
        }

    def add(self, variant, entries):
        """Write {image: {name: array (rows, ...)}} of one variant, then mark them as there.

        Raises DataError for numbers that the file's dtype cannot hold, OSError for a full disk.
        """
        try:
            for image, arrays in entries.items():
                for name, values in arrays.items():
                    self._put(name, variant, image, values)
            # No mark may reach the disk before what it vouches for, even if the power fails.
            os.fdatasync(self.file.fileno())
            for image, arrays in entries.items():
                rows = len(next(iter(arrays.values())))
                self._put("rows", variant, image, np.array(rows))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _put(self, name, variant, image, values):
        begin, dtype, (_, images, *shape) = self.places[name]
        stored = self._stored(name, image, np.asarray(values), dtype)
        entry = math.prod(shape) * dtype.itemsize
        self.file.seek(begin + (variant * images + image) * entry)
        left = memoryview(stored.reshape(-1).view(np.uint8))
        while left:  # a raw file may take a part
            left = left[self.file.write(left) :]

    def _stored(self, name, image, values, dtype):
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(values, dtype)
        if not np.isfinite(stored).all():
            wrong = values[~np.isfinite(stored)][0]
            remedy = "make the cache without --half" if np.isfinite(wrong) else "check the weights"
            raise DataError(
                f"{self.path}: {name} of image {image}: expected numbers that fit {dtype.name}, "
                f"got {wrong:g}; {remedy}"
            )
        return stored


@contextlib.contextmanager
def writer(path):
    """A Writer of the cache at `path`; unbuffered, so that a full disk is noticed at once."""
    with open(path, "r+b", buffering=0) as file:
        yield Writer(path, file)
