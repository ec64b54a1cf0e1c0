"""LmdbFile: every record as the lmdb package gives it; damaged files end in one line."""

import os
import shutil

import lmdb
import numpy as np
import pytest

import caffe
from caffe.data.lmdb_file import LmdbFile
from tests.layer_checks import GOLDEN

PAGE = 4096


def _library(path, subdir: bool = True) -> list[tuple[bytes, bytes]]:
    options = {"readonly": True, "lock": False, "subdir": subdir}
    with lmdb.open(str(path), **options) as environment, environment.begin() as transaction:
        return list(transaction.cursor())


def _write(path, sizes: list[int], subdir: bool = True) -> None:
    with lmdb.open(str(path), subdir=subdir) as environment:
        for i, size in enumerate(sizes):
            with environment.begin(write=True) as transaction:
                transaction.put(b"%05d" % (i * 37 % 1000), bytes([i % 256]) * size)


@pytest.mark.parametrize("name", ["raw_lmdb", "enc_lmdb"])
def test_golden_databases(name):
    folder = GOLDEN / "data" / name
    assert list(LmdbFile(str(folder))) == _library(folder)


def test_deep_trees_long_values_and_deleted_records(tmp_path):
    sizes = [9, 70_000, *np.random.default_rng(0).integers(1, 3 * PAGE, 400).tolist()]
    _write(tmp_path / "db", sizes)
    with lmdb.open(str(tmp_path / "db")) as environment:
        assert environment.stat()["depth"] > 1
        with environment.begin(write=True) as transaction:
            for i in range(0, 1000, 3):
                transaction.delete(b"%05d" % i)
    database, want = LmdbFile(str(tmp_path / "db")), _library(tmp_path / "db")
    assert len(database) == len(want)
    assert list(database) == list(database) == want


def test_reads_a_lone_file_and_one_that_is_open_already(tmp_path):
    _write(tmp_path / "one", [5, 7], subdir=False)
    with lmdb.open(str(tmp_path / "one"), subdir=False):
        assert list(LmdbFile(str(tmp_path / "one"))) == [
            (b"00000", b"\0" * 5),
            (b"00037", b"\1" * 7),
        ]


def test_an_empty_database_has_no_records(tmp_path):
    _write(tmp_path / "db", [])
    assert list(LmdbFile(str(tmp_path / "db"))) == []


@pytest.fixture
def damage(tmp_path):
    """damage(change): what reading raises once `change` was applied to a database's bytes."""
    _write(tmp_path / "db", [100 + 50 * i for i in range(200)])
    path = tmp_path / "db" / "data.mdb"
    content = path.read_bytes()

    def read(change) -> str:
        path.write_bytes(change(bytearray(content)))
        with pytest.raises(caffe.CaffeError) as caught:
            list(LmdbFile(str(tmp_path / "db")))
        assert str(caught.value).startswith(f"{tmp_path}/db: ")
        return str(caught.value)

    return read


def test_a_file_that_was_cut_off(damage):
    sizes = (0, 1, 40, 200, PAGE, 3 * PAGE, 20 * PAGE + 5)
    texts = [damage(lambda content, size=size: content[:size]) for size in sizes]
    assert "the file is empty" in texts[0]
    assert all("does not begin like one" in text for text in texts[1:2])
    assert all("the LMDB is damaged: expected at least" in text for text in texts[3:])


def test_garbage(damage):
    rng = np.random.default_rng(0)
    assert "does not begin like one" in damage(lambda content: rng.bytes(len(content)))
    tail = damage(lambda content: content[: 2 * PAGE] + rng.bytes(len(content) - 2 * PAGE))
    assert "page" in tail
    assert "write it again" in tail


def test_lost_pages_and_wrong_fields(damage):
    def zeros(number):
        return lambda content: (
            content[: number * PAGE] + bytes(PAGE) + content[number * PAGE + PAGE :]
        )

    assert "page 1 is no meta page of version 1" in damage(zeros(1))

    def field(offset, value):
        def change(content):
            for meta in (0, PAGE):
                content[meta + offset : meta + offset + len(value)] = value
            return content

        return change

    # Behind the page's 16 bytes: page size at 24, then of the main tree depth, records, root.
    assert "page size 77" in damage(field(40, (77).to_bytes(4, "little")))
    assert "records in a tree 9999 pages deep" in damage(field(94, (9999).to_bytes(2, "little")))
    assert "expected 199 records, found 200" in damage(field(120, (199).to_bytes(8, "little")))
    assert "expected 201 records, found 200" in damage(field(120, (201).to_bytes(8, "little")))
    assert "expected at least" in damage(field(128, (10**12).to_bytes(8, "little")))


def test_a_page_in_the_place_of_another(damage):
    def swap(content):
        pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
        leaves = [i for i, page in enumerate(pages) if page[10] == 2 and page[:2] == bytes([i, 0])]
        pages[leaves[0]], pages[leaves[1]] = pages[leaves[1]], pages[leaves[0]]
        return b"".join(pages)

    assert "is no leaf page" in damage(swap)


def test_random_damage_never_ends_otherwise(tmp_path):
    _write(tmp_path / "db", [30 + 20 * (i % 90) for i in range(200)])
    path = tmp_path / "db" / "data.mdb"
    content, rng = path.read_bytes(), np.random.default_rng(1)
    failed = 0
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 40):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            for _ in LmdbFile(str(tmp_path / "db")):
                pass
        except caffe.CaffeError:
            failed += 1
    assert failed > 5


def test_names_what_is_no_plain_database(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"none: cannot open as LMDB: No such file"):
        LmdbFile(str(tmp_path / "none"))
    os.mkdir(tmp_path / "folder")
    with pytest.raises(caffe.CaffeError, match=r"folder: cannot open as LMDB: No such file"):
        LmdbFile(str(tmp_path / "folder"))
    with lmdb.open(str(tmp_path / "nested"), max_dbs=1) as environment:
        environment.open_db(b"inner")
    with pytest.raises(caffe.CaffeError, match="LMDB of plain records, got a database in it"):
        list(LmdbFile(str(tmp_path / "nested")))


def test_a_database_that_is_replaced_while_it_is_read_stays_as_it_was(tmp_path):
    _write(tmp_path / "db", [10] * 20)
    database = LmdbFile(str(tmp_path / "db"))
    shutil.rmtree(tmp_path / "db")
    assert len(list(database)) == 20
