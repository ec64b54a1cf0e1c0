"""Data: golden batches, two nets on one database, chance, errors that name the record."""

import lmdb
import numpy as np
import pytest

import caffe
from caffe.proto.caffe_pb2 import Datum
from tests.data_checks import replay_batches
from tests.layer_checks import net_from_text

TEXT = 'layer{name:"d" type:"Data" top:"data" top:"label" %s data_param{backend:LMDB %s}}'


@pytest.mark.parametrize("case", ["data_lmdb_test", "data_lmdb_encoded"])
def test_golden(tmp_path, monkeypatch, case):
    replay_batches(tmp_path, monkeypatch, case)


def _write(path, datums: list[Datum]) -> str:
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(b"%08d" % i, datum.SerializeToString())
    return f'source:"{path}"'


def _datum(value: int, width: int = 4) -> Datum:
    data = bytes([value] * 3 * 5 * width)
    return Datum(channels=3, height=5, width=width, data=data, label=value)


def test_two_nets_read_one_database_each_at_its_own_pace(tmp_path):
    source = _write(tmp_path / "db", [_datum(i) for i in range(3)])
    one, two = (net_from_text(tmp_path, TEXT % ("", f"{source} batch_size:2")) for _ in range(2))
    for net, labels in ((one, [0, 1]), (one, [2, 0]), (two, [0, 1])):
        net.forward()
        np.testing.assert_array_equal(net.blobs["label"].data, labels)
        np.testing.assert_array_equal(net.blobs["data"].data[:, 1, 2, 3], labels)


def test_rand_skip_and_mirror_follow_the_seed(tmp_path):
    source = _write(tmp_path / "db", [_datum(i) for i in range(7)])
    text = TEXT % ("transform_param{mirror:true}", f"{source} batch_size:5 rand_skip:6")
    starts = []
    for seed in (*range(8), *range(8)):
        caffe.set_random_seed(seed)
        net = net_from_text(tmp_path, text)
        net.forward()
        starts.append(int(net.blobs["label"].data[0]))
    assert starts[:8] == starts[8:]
    assert set(starts) > {starts[0]}
    assert max(starts) < 6


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (_datum(1, width=3), r"record 00000001: expected an image .*\(3, 5, 4\) like.*\(3, 5, 3\)"),
        (Datum(data=b"ab", encoded=True), "db: record 00000001: expected an image file"),
    ],
)
def test_names_the_record(tmp_path, bad, message):
    source = _write(tmp_path / "db", [_datum(0), bad])
    net = net_from_text(tmp_path, TEXT % ("", f"{source} batch_size:2"))
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(Data\): .*{message}'):
        net.forward()


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ('source:"no" batch_size:1', "no: cannot open as LMDB"),
        ('source:"no" batch_size:1 backend:LEVELDB', '"d".*no: only backend: LMDB is supported'),
        ('source:"no"', '"d".*batch_size of at least 1'),
        ('source:"no" batch_size:1 mirror:true', '"d".*data_param.mirror has no effect'),
    ],
)
def test_names_what_does_not_fit(tmp_path, param, message):
    text = (TEXT % ("", param)).replace(
        "backend:LMDB ", "" if "LEVELDB" in param else "backend:LMDB "
    )
    with pytest.raises(caffe.CaffeError, match=message):
        net_from_text(tmp_path, text)
