"""Data: golden batches, two nets on one database, chance, errors that name the record."""

import cv2
import lmdb
import numpy as np
import plyvel
import pytest

import caffe
from caffe.proto.caffe_pb2 import Datum
from tests.data_checks import replay_batches
from tests.layer_checks import GOLDEN, net_from_text

TEXT = 'layer{name:"d" type:"Data" top:"data" top:"label" %s data_param{backend:LMDB %s}}'
LEVELDB = 'layer{name:"d" type:"Data" top:"data" %s data_param{%s}}'  # the field's default


@pytest.mark.parametrize("case", ["data_lmdb_test", "data_lmdb_encoded"])
def test_golden(tmp_path, monkeypatch, case):
    replay_batches(tmp_path, monkeypatch, case)


def _write(path, datums: list[Datum | bytes]) -> str:
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            content = datum if isinstance(datum, bytes) else datum.SerializeToString()
            transaction.put(b"%08d" % i, content)
    return f'source:"{path}"'


def _datum(value: int, width: int = 4) -> Datum:
    data = bytes([value] * 3 * 5 * width)
    return Datum(channels=3, height=5, width=width, data=data, label=value)


@pytest.mark.parametrize("name", ["raw_lmdb", "enc_lmdb"])
def test_leveldb_gives_what_lmdb_gives(tmp_path, name):
    folder = str(GOLDEN / "data" / name)
    options = {"readonly": True, "lock": False}
    with lmdb.open(folder, **options) as old, old.begin() as transaction:
        items = list(transaction.cursor())
    with plyvel.DB(str(tmp_path / "db"), create_if_missing=True) as new:
        for item in items:
            new.put(*item)
    transform = "transform_param{crop_size:9 mean_value:7}"
    of_lmdb = net_from_text(
        tmp_path, TEXT % (transform, f'source:"{folder}" batch_size:4'), caffe.TEST
    )
    source = f'source:"{tmp_path}/db" batch_size:4'
    of_leveldb, alone = (
        net_from_text(tmp_path, LEVELDB % (label + transform, source), caffe.TEST)
        for label in ('top:"label" ', "")
    )
    assert list(alone.blobs) == ["data"]
    for _ in range(2):
        want = of_lmdb.forward()
        for net in (of_leveldb, alone):
            for blob, array in net.forward().items():
                np.testing.assert_array_equal(array, want[blob])


@pytest.mark.parametrize(
    ("transform", "param", "channels"),
    [
        ("", "", 1),
        ("", "force_encoded_color:true", 3),
        ("transform_param{force_color:true}", "", 3),
        ("transform_param{force_gray:true}", "", 1),
    ],
)
def test_channels_of_encoded_images(tmp_path, transform, param, channels):
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    _, content = cv2.imencode(".png", pixels)
    source = _write(tmp_path / "db", [Datum(data=content.tobytes(), encoded=True, label=3)])
    net = net_from_text(tmp_path, TEXT % (transform, f"{source} batch_size:2 {param}"))
    net.forward()
    np.testing.assert_array_equal(
        net.blobs["data"].data, np.broadcast_to(pixels, (2, channels, 5, 7))
    )


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
        (b"no datum", "db: record 00000001: expected a Datum, got 8 bytes that do not parse"),
        (Datum(channels=3, height=99999, width=99999, data=b"ab"), "got 2 numbers"),
    ],
)
def test_names_the_record(tmp_path, bad, message):
    source = _write(tmp_path / "db", [_datum(0), bad])
    net = net_from_text(tmp_path, TEXT % ("", f"{source} batch_size:2"))
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(Data\): .*{message}'):
        net.forward()


def test_names_a_database_that_was_cut_off(tmp_path):
    source = _write(tmp_path / "db", [_datum(i, width=400) for i in range(4)])
    path = tmp_path / "db" / "data.mdb"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(caffe.CaffeError, match=r"db: the LMDB is damaged: expected at least"):
        net_from_text(tmp_path, TEXT % ("", f"{source} batch_size:4")).forward()


@pytest.mark.parametrize(
    ("text", "param", "message"),
    [
        (TEXT, 'source:"no" batch_size:1', "no: cannot open as LMDB"),
        (LEVELDB, 'source:"no" batch_size:1', "no: cannot open as LevelDB: it has no file CURRENT"),
        (TEXT, 'source:"no"', '"d".*batch_size of at least 1'),
        (TEXT, 'source:"no" batch_size:1 mirror:true', '"d".*data_param.mirror has no effect'),
    ],
)
def test_names_what_does_not_fit(tmp_path, text, param, message):
    with pytest.raises(caffe.CaffeError, match=message):
        net_from_text(tmp_path, text % ("", param))


def test_takes_old_fields_that_ask_for_nothing(tmp_path):
    source = _write(tmp_path / "db", [_datum(1)])
    param = f"{source} batch_size:1 mirror:false scale:1 crop_size:0"
    assert net_from_text(tmp_path, TEXT % ("", param)).forward()["label"] == [1]
