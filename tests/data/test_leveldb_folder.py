"""LevelDbFolder: order, sharing, locks, damaged files, a missing binding."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import plyvel
import pytest

import caffe
from caffe.data.leveldb_folder import LevelDbFolder, open_leveldb


def _write(path, count: int) -> str:
    with plyvel.DB(str(path), create_if_missing=True) as database:
        for i in reversed(range(count)):
            database.put(b"%02d" % i, b"value %d" % i * 200)
    with plyvel.DB(str(path)):  # the second opening turns the log into a table
        pass
    return str(path)


def test_gives_the_records_in_the_order_of_the_keys(tmp_path):
    database = LevelDbFolder(_write(tmp_path / "db", 12))
    assert list(database) == list(database)
    assert list(database) == [(b"%02d" % i, b"value %d" % i * 200) for i in range(12)]


def test_readers_share_a_database_and_give_it_back(tmp_path):
    path = _write(tmp_path / "db", 3)
    one, two = open_leveldb(path), open_leveldb(os.path.join(path, "..", "db"))
    assert one is two
    first, second = iter(one), iter(two)
    assert next(first) == next(second)
    with pytest.raises(caffe.CaffeError, match=r"db: cannot open as LevelDB: .*LOCK.*close what"):
        LevelDbFolder(path)
    del one, two, first, second
    assert len(list(LevelDbFolder(path))) == 3


def test_names_a_database_that_another_process_has_open(tmp_path):
    path = _write(tmp_path / "db", 3)
    code = f"import plyvel; db = plyvel.DB({path!r}); print('open', flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(
            caffe.CaffeError, match=r"cannot open as LevelDB: .*close what else has"
        ):
            open_leveldb(path)
        other.communicate(b"\n")
    assert len(list(open_leveldb(path))) == 3


def _file(path: str, pattern: str) -> Path:
    (found,) = Path(path).glob(pattern)
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[: len(content) // 2], "cannot read the LevelDB: "),
        (lambda content: bytes(len(content)), "cannot read the LevelDB: .*sstable"),
        (lambda content: b"\x5a" * 9 + content[9:], "cannot read the LevelDB: .*"),
    ],
)
def test_names_a_damaged_table(tmp_path, change, message):
    path = _write(tmp_path / "db", 30)
    table = _file(path, "*.ldb")
    table.write_bytes(change(table.read_bytes()))
    with pytest.raises(caffe.CaffeError, match=f"^{path}: {message}"):
        list(LevelDbFolder(path))


def test_compares_checksums(tmp_path):
    rng, path = np.random.default_rng(0), str(tmp_path / "db")
    with plyvel.DB(path, create_if_missing=True) as database:
        for i in range(3):  # a block each
            database.put(b"%d" % i, rng.bytes(6000))
    with plyvel.DB(path):
        pass
    table = _file(path, "*.ldb")
    content = table.read_bytes()
    for block in range(3):
        damaged = bytearray(content)
        damaged[6000 * block + 1500] ^= 1  # inside a value, which says nothing about itself
        table.write_bytes(damaged)
        records = iter(LevelDbFolder(path))
        assert [next(records)[0] for _ in range(block)] == [b"0", b"1", b"2"][:block]
        with pytest.raises(caffe.CaffeError, match=r"cannot read the LevelDB: .*checksum"):
            next(records)


def test_names_missing_and_damaged_files(tmp_path):
    path = _write(tmp_path / "table", 3)
    _file(path, "*.ldb").unlink()
    with pytest.raises(caffe.CaffeError, match=r"table: cannot open as LevelDB: .*missing files"):
        LevelDbFolder(path)
    path = _write(tmp_path / "manifest", 3)
    _file(path, "MANIFEST*").unlink()
    with pytest.raises(caffe.CaffeError, match=r"manifest: cannot open as LevelDB: .*MANIFEST"):
        LevelDbFolder(path)
    _file(path, "CURRENT").write_bytes(b"\xff\xff")
    with pytest.raises(caffe.CaffeError, match=r"manifest: cannot open as LevelDB: .*CURRENT"):
        LevelDbFolder(path)


def test_leaves_what_is_no_leveldb_as_it_is(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"none: cannot open as LevelDB: .*no file CURRENT"):
        LevelDbFolder(str(tmp_path / "none"))
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").touch()
    with pytest.raises(caffe.CaffeError, match="it is an LMDB: give backend: LMDB"):
        LevelDbFolder(str(tmp_path / "lmdb"))
    assert os.listdir(tmp_path) == ["lmdb"]
    assert os.listdir(tmp_path / "lmdb") == ["data.mdb"]


def test_says_which_package_is_missing(tmp_path, monkeypatch):
    path = _write(tmp_path / "db", 3)
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(caffe.CaffeError, match="LevelDB needs the package plyvel"):
        LevelDbFolder(path)


def test_half_read_databases_in_cycles_of_garbage_close_in_order(tmp_path):
    path = _write(tmp_path / "db", 9)
    for _ in range(20):
        holder: list = [iter(open_leveldb(path)), iter(open_leveldb(path))]
        next(holder[0])
        next(holder[1])
        holder.append(holder)
        del holder
        gc.collect()
    with plyvel.DB(path) as database:
        assert len(list(database)) == 9
