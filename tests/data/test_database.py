"""Databases of both kinds: order, skipping, readers at their own pace; errors."""

from itertools import islice

import lmdb
import plyvel
import pytest

import caffe
from caffe.data import database

BACKENDS = ("lmdb", "leveldb")


def _write(path, backend: str, count: int) -> str:
    items = [(b"%02d" % i, b"value %d" % i) for i in reversed(range(count))]
    if backend == "lmdb":
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
            for item in items:
                transaction.put(*item)
    else:
        with plyvel.DB(str(path), create_if_missing=True) as environment:
            for item in items:
                environment.put(*item)
    return str(path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_goes_round_in_the_order_of_the_keys(tmp_path, backend):
    source = database.open_database(_write(tmp_path / "db", backend, 3), backend)
    keys = [key for key, _ in islice(database.records(source, skip=4), 5)]
    assert keys == [b"01", b"02", b"00", b"01", b"02"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_readers_of_one_database_do_not_disturb_each_other(tmp_path, backend):
    path = _write(tmp_path / "db", backend, 2)
    one, two = (database.records(database.open_database(path, backend)) for _ in range(2))
    next(one)
    assert next(two) == (b"00", b"value 0")
    assert next(one) == (b"01", b"value 1")


@pytest.mark.parametrize("backend", BACKENDS)
def test_names_what_cannot_be_read(tmp_path, backend):
    with pytest.raises(caffe.CaffeError, match=r"none: cannot open as L"):
        database.open_database(tmp_path / "none", backend)
    path = _write(tmp_path / "empty", backend, 0)
    with pytest.raises(caffe.CaffeError, match=r"empty: expected a database with records"):
        database.open_database(path, backend)
