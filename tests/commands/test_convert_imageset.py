"""convert_imageset: the databases of the original command, and its flags."""

from pathlib import Path

import cv2
import lmdb
import numpy as np
import plyvel
import pytest

from caffe.commands import convert_imageset
from caffe.proto import caffe_pb2
from tests.layer_checks import GOLDEN

DATA = GOLDEN / "data"
SIZE = ["-resize_width", "32", "-resize_height=24"]


def _lmdb(path: Path) -> dict[bytes, bytes]:
    with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as reader:
        return dict(reader.cursor())


def _convert(target: Path, *flags: str, root: str = f"{DATA}/", names=DATA / "list.txt") -> int:
    return convert_imageset.main([*flags, root, str(names), str(target)])


def test_raw_records_are_the_original_commands(tmp_path):
    assert _convert(tmp_path / "db", *SIZE) == 0
    assert _lmdb(tmp_path / "db") == _lmdb(DATA / "raw_lmdb")


@pytest.mark.parametrize("flags", [["-encoded"], ["-encode_type", "png"]])
def test_encoded_records_hold_the_original_commands_pixels(tmp_path, flags):
    assert _convert(tmp_path / "db", *flags, *SIZE) == 0
    ours, theirs = _lmdb(tmp_path / "db"), _lmdb(DATA / "enc_lmdb")
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        one, two = (caffe_pb2.Datum.FromString(content) for content in (value, theirs[key]))
        pixels = [cv2.imdecode(np.frombuffer(d.data, np.uint8), -1) for d in (one, two)]
        assert np.array_equal(*pixels)
        two.data = one.data
        assert one == two


def test_leveldb_holds_the_same(tmp_path):
    assert _convert(tmp_path / "db", "--backend=leveldb", *SIZE) == 0
    with plyvel.DB(str(tmp_path / "db")) as database:
        assert dict(database.iterator()) == _lmdb(DATA / "raw_lmdb")


def test_encoded_without_changes_stores_the_files(tmp_path):
    assert _convert(tmp_path / "db", "-encoded") == 0
    for key, value in _lmdb(tmp_path / "db").items():
        name = key.decode()[9:]
        assert caffe_pb2.Datum.FromString(value).data == (DATA / name).read_bytes()


def test_gray_shuffle_and_names_with_spaces(tmp_path, monkeypatch):
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"no {i}.png"), np.full((3, 5, 3), (10, 20, 30 + i), np.uint8))
    names = tmp_path / "list.txt"
    names.write_text("".join(f"no {i}.png {i - 3}\n" for i in range(7)))
    seeded = np.random.default_rng(4)
    monkeypatch.setattr(np.random, "default_rng", lambda: seeded)
    flags = ["-gray", "-shuffle", "-check_size"]
    assert _convert(tmp_path / "db", *flags, root=f"{tmp_path}/", names=names) == 0
    records = [
        (k.decode(), caffe_pb2.Datum.FromString(v)) for k, v in _lmdb(tmp_path / "db").items()
    ]
    assert [key[:9] for key, _ in records] == [f"{i:08d}_" for i in range(7)]
    order = [int(key[-5]) for key, _ in records]
    assert sorted(order) == list(range(7)) != order
    for i, (_, datum) in zip(order, records, strict=True):
        assert (datum.channels, datum.height, datum.width, datum.label) == (1, 3, 5, i - 3)
        luma = 0.114 * 10 + 0.587 * 20 + 0.299 * (30 + i)
        assert np.abs(np.frombuffer(datum.data, np.uint8) - luma).max() < 1  # libpng rounds down


def test_grows_over_the_first_map_size(tmp_path, monkeypatch):
    monkeypatch.setattr("caffe.data.database_writer._BATCH", 4096)
    assert _convert(tmp_path / "db", *SIZE) == 0
    assert _lmdb(tmp_path / "db") == _lmdb(DATA / "raw_lmdb")


def test_unreadable_images_are_named_and_left_out(tmp_path, capsys):
    names = tmp_path / "list.txt"
    names.write_text("im0.png 0\nnix.png 1\nim2.png 2\n")
    assert _convert(tmp_path / "db", *SIZE, names=names) == 0
    assert list(_lmdb(tmp_path / "db")) == [b"00000000_im0.png", b"00000002_im2.png"]
    log = capsys.readouterr().err
    assert "nix.png: cannot read: No such file" in log
    assert "A total of 3 images." in log
    assert "Processed 2 files." in log
    assert "Left out 1 images" in log


@pytest.mark.parametrize(
    ("flags", "lines", "message"),
    [
        ([], "im0.png 0\nim1.png\n", "list.txt:2: expected a file name and a whole number"),
        ([], "im0.png 5000000000\n", "list.txt:1: expected a file name and a whole number"),
        ([], "nix.png 0\n", "none of its images could be read under"),
        (["-check_size"], None, "im1.png: expected an image (C, H, W) of (3, 23, 31) like the"),
        (["-resize_width", "3"], None, "expected both -resize_width and -resize_height"),
        (["-encode_type", "doc"], None, "none of its images could be read under"),
        (
            ["-backend", "rocksdb"],
            None,
            "invalid choice: 'rocksdb' (choose from 'lmdb', 'leveldb')",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, capsys, flags, lines, message):
    names = DATA / "list.txt"
    if lines:
        names = tmp_path / "list.txt"
        names.write_text(lines)
    try:
        code = _convert(tmp_path / "db", *flags, names=names)
    except SystemExit as end:
        code = end.code
    assert code
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == (["list.txt"] if lines else [])


def test_never_writes_over_a_database(tmp_path, capsys):
    (tmp_path / "db").mkdir()
    assert _convert(tmp_path / "db", *SIZE) == 1
    assert "db: is there already; remove it" in capsys.readouterr().err
    assert _convert(tmp_path / "none" / "db", *SIZE) == 1
    assert "none/db: cannot write: No such file or directory" in capsys.readouterr().err
