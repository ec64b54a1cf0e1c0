"""LMDB databases: order, skipping, sharing within a process; errors."""

from itertools import islice

import lmdb
import pytest

import caffe
from caffe.data import database


def _write(path, count: int) -> None:
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for i in reversed(range(count)):
            transaction.put(b"%02d" % i, b"value %d" % i)


def test_goes_round_in_the_order_of_the_keys(tmp_path):
    _write(tmp_path / "db", 3)
    environment = database.open_lmdb(tmp_path / "db")
    keys = [key for key, _ in islice(database.records(environment, skip=4), 5)]
    assert keys == [b"01", b"02", b"00", b"01", b"02"]


def test_two_readers_of_one_database_share_it(tmp_path):
    _write(tmp_path / "db", 2)
    one, two = (database.records(database.open_lmdb(tmp_path / "db")) for _ in range(2))
    assert next(one) == next(two) == (b"00", b"value 0")


def test_names_what_cannot_be_read(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"none: cannot open as LMDB: .*No such file"):
        database.open_lmdb(tmp_path / "none")
    _write(tmp_path / "empty", 0)
    with pytest.raises(caffe.CaffeError, match=r"empty: expected a database with records"):
        database.open_lmdb(tmp_path / "empty")
