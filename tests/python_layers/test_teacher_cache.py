"""The teacher's cache as a file: what is written is read, what is not whole does not count."""

import errno
import hashlib
import os

import numpy as np
import pytest

from python_layers import teacher_cache
from python_layers.array_file import DataError, read_arrays, write_arrays
from python_layers.prepared_set import PreparedSet
from python_layers.teacher_cache import TeacherCache, Writer, create, size_of, writer
from tests.prepared_sets import make_set

VARIANTS = [(24, False), (24, True), (40, False)]
ARRAYS = {"boxes": ("<f4", (4, 5)), "features": ("<f4", (4, 7))}
PRINTS = {"weights": "1", "net": "2", "proposals": "3", "images": "4", "precision": "fp32"}
META = {"fingerprint": PRINTS, "command": "make it"}
IMAGES = 6


def entry(rng, rows):
    return {"boxes": rng.random((rows, 5)), "features": rng.normal(0, 9, (rows, 7))}


def make(path, arrays=ARRAYS, images=IMAGES, variants=VARIANTS):
    create(path, arrays, variants, images, META)
    return path


def fill(path, variants=range(3), seed=0):
    """Entries {(variant, image): arrays} of 1 to 4 rows, as they were given to the writer."""
    rng, given = np.random.default_rng(seed), {}
    with writer(path) as pen:
        for variant in variants:
            entries = {image: entry(rng, int(rng.integers(1, 5))) for image in (5, 0, 3, 1, 2, 4)}
            pen.add(variant, entries)
            given |= {(variant, image): arrays for image, arrays in entries.items()}
    return given


def test_what_is_written_is_read(tmp_path):
    path = make(tmp_path / "c.arr")
    given = fill(path)
    cache = TeacherCache(path)
    cache.check_complete(VARIANTS)
    assert (cache.images, cache.variants) == (6, {(24, False): 0, (24, True): 1, (40, False): 2})
    for (variant, image), arrays in given.items():
        side, mirrored = VARIANTS[variant]
        boxes, features = cache.read(side, mirrored, image)
        np.testing.assert_array_equal(boxes, arrays["boxes"].astype(np.float32))
        np.testing.assert_array_equal(features, arrays["features"].astype(np.float32))
        assert cache.rows[variant, image] == len(boxes)
    with pytest.raises(ValueError, match="read-only"):
        cache.arrays["boxes"][0] = 0


def test_the_file_is_an_array_file_of_the_size_foretold(tmp_path):
    path = make(tmp_path / "c.arr")
    assert path.stat().st_size == size_of(path, ARRAYS, VARIANTS, IMAGES, META)
    assert path.stat().st_blocks * 512 >= 3 * 6 * 4 * 12 * 4, "the space is taken at once"
    arrays, meta = read_arrays(path)
    shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    assert shapes == {
        "rows": ("<i4", (3, 6)),
        "boxes": ("<f4", (3, 6, 4, 5)),
        "features": ("<f4", (3, 6, 4, 7)),
    }
    assert meta == {**META, "variants": [[24, False], [24, True], [40, False]]}
    assert not any(array.any() for array in arrays.values())


def test_half_precision_rounds_and_refuses_what_it_cannot_hold(tmp_path):
    path = make(tmp_path / "c.arr", {"features": ("<f2", (2, 3))})
    values = np.array([[1 / 3, 0, -2.5]])
    with writer(path) as pen:
        pen.add(1, {2: {"features": values}})
        with pytest.raises(DataError, match=r"features of image 3: .* fit float16, got 65520"):
            pen.add(1, {3: {"features": np.array([[1, 65520.0, 2]])}})
        with pytest.raises(DataError, match="fit float16, got nan; check the weights"):
            pen.add(1, {4: {"features": np.array([[1, np.nan, 2]])}})
    cache = TeacherCache(path)
    (stored,) = cache.read(24, True, 2)
    assert stored.dtype == np.float16
    np.testing.assert_allclose(stored, values, rtol=2**-11)
    assert cache.missing(VARIANTS) == 17


def test_an_entry_counts_only_when_all_of_it_is_there(tmp_path, monkeypatch):
    path = make(tmp_path / "c.arr")
    order, put, sync = [], Writer._put, os.fdatasync

    def recorded(self, name, variant, image, values):
        order.append((name, image))
        put(self, name, variant, image, values)

    def synced(handle):
        order.append("sync")
        sync(handle)

    monkeypatch.setattr(Writer, "_put", recorded)
    monkeypatch.setattr(os, "fdatasync", synced)
    rng = np.random.default_rng(0)
    with writer(path) as pen:
        pen.add(0, {4: entry(rng, 2), 1: entry(rng, 3)})
    data = [("boxes", 4), ("features", 4), ("boxes", 1), ("features", 1)]
    assert order == [*data, "sync", ("rows", 4), ("rows", 1)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), writer(path) as pen:
            pen.add(0, {5: entry(rng, 2)})
    cache = TeacherCache(path)
    assert cache.rows.tolist() == [[0, 3, 0, 0, 2, 0], [0] * 6, [0] * 6]
    assert cache.arrays["boxes"][0, 5].any()
    assert cache.missing(VARIANTS) == 16
    assert cache.missing(VARIANTS[:1]) == 4


def test_a_write_that_takes_a_part_goes_on(tmp_path):
    class Reluctant:
        def __init__(self, file):
            self.seek, self.fileno, self.file = file.seek, file.fileno, file

        def write(self, content):
            return self.file.write(content[: max(1, len(content) // 3)])

    path, other = make(tmp_path / "c.arr"), make(tmp_path / "d.arr")
    given = fill(other)
    with open(path, "r+b", buffering=0) as file:
        pen = Writer(path, Reluctant(file))
        for (variant, image), arrays in given.items():
            pen.add(variant, {image: arrays})
    assert path.read_bytes() == other.read_bytes()


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    path = make(tmp_path / "c.arr")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Writer, "_put", full)
    rng = np.random.default_rng(0)
    told = "No space left on device"
    with writer(path) as pen, pytest.raises(OSError, match=told) as caught:
        pen.add(0, {0: entry(rng, 1)})
    assert caught.value.filename == str(path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"cannot reserve .* bytes: No space left"):
        make(tmp_path / "e.arr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.arr"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weights": "x"}, "the teacher's weights"),
        ({"net": "x"}, "the teacher's part of the net"),
        ({"proposals": "x"}, "the proposals"),
        ({"images": "x"}, "the image list"),
        ({"precision": "bf16"}, "the precision"),
        ({"images": "x", "weights": "x"}, "the teacher's weights, the image list"),
    ],
)
def test_what_changed_is_named(tmp_path, changed, words):
    cache = TeacherCache(make(tmp_path / "c.arr"))
    cache.check(**META["fingerprint"])
    message = rf"c\.arr: changed since it was made: {words}; make it again: make it --rebuild"
    with pytest.raises(DataError, match=message):
        cache.check(**{**META["fingerprint"], **changed})
    with pytest.raises(DataError, match="again: now so --rebuild"):
        TeacherCache(cache.path, "now so").check(**changed)


def test_what_is_not_there_is_named(tmp_path):
    path = make(tmp_path / "c.arr")
    fill(path, [0])
    cache = TeacherCache(path)
    cache.check_complete([(24, False)])
    with pytest.raises(DataError, match=r"c\.arr: 6 of 12 entries are missing; go on: make it$"):
        cache.check_complete(VARIANTS[:2])
    with pytest.raises(DataError, match="images of side 40 mirrored, got 24, 24 mirrored, 40;"):
        cache.check_complete([(24, False), (40, True)])


def test_damaged_files_are_named_with_the_remedy(tmp_path):
    path = tmp_path / "c.arr"
    with pytest.raises(DataError, match=r"c\.arr: no such cache; make it: python tools/cache_te"):
        TeacherCache(path)
    with pytest.raises(DataError, match=r"c\.arr: no such cache; make it: this way"):
        TeacherCache(path, "this way")
    make(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="the file is truncated: make it again: this way --rebuild"):
        TeacherCache(path, "this way")
    write_arrays(path, {"rows": np.zeros((2, 3), "<i4")}, {"variants": 5})
    with pytest.raises(DataError, match="expected a teacher's cache, got another array file; make"):
        TeacherCache(path)


def test_the_fingerprint_of_a_set(tmp_path):
    source, *_ = make_set(tmp_path)
    files = {"images": "images.txt", "proposals": "proposals.arr"}
    wanted = {
        part: hashlib.sha256((source / name).read_bytes()).hexdigest()
        for part, name in files.items()
    }
    assert teacher_cache.fingerprint(PreparedSet(source)) == wanted
    (source / "proposals.arr").unlink()
    with pytest.raises(DataError, match=r"proposals\.arr: no such file; run: python data/make"):
        teacher_cache.fingerprint(PreparedSet(source))


def test_variants_of_a_data_layer():
    options = {"scales": [32, 48], "mirror": True}
    assert teacher_cache.variants_of(options) == [(32, False), (32, True), (48, False), (48, True)]
    assert teacher_cache.variants_of({**options, "mirror": False}) == [(32, False), (48, False)]
