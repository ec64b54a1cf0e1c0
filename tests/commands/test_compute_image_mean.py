"""compute_image_mean: the mean file of the original command."""

import re

import cv2
import numpy as np
import pytest

from caffe.commands import compute_image_mean
from caffe.data.database_writer import DatabaseWriter
from caffe.proto import caffe_pb2
from tests.layer_checks import GOLDEN

DATA = GOLDEN / "data"


def _blob(path) -> caffe_pb2.BlobProto:
    return caffe_pb2.BlobProto.FromString(path.read_bytes())


def _write(path, images, backend: str = "lmdb") -> str:
    with DatabaseWriter(path, backend) as database:
        for i, image in enumerate(images):
            channels, height, width = image.shape
            sizes = {"channels": channels, "height": height, "width": width}
            datum = caffe_pb2.Datum(**sizes, data=image.tobytes())
            database.put(b"%d" % i, datum.SerializeToString())
    return str(path)


def test_writes_what_the_original_command_writes(tmp_path, capsys):
    target = tmp_path / "mean.binaryproto"
    assert compute_image_mean.main([str(DATA / "raw_lmdb"), str(target)]) == 0
    ours, theirs = _blob(target), _blob(DATA / "mean.binaryproto")
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)
    theirs.data[:] = ours.data
    assert ours == theirs
    log = capsys.readouterr().err
    assert "] Number of channels: 3\n" in log
    logged = [float(value) for value in re.findall(r"mean_value channel \[\d\]: (\S+)", log)]
    images = [cv2.resize(cv2.imread(str(DATA / f"im{i}.png")), (32, 24)) for i in range(6)]
    assert logged == pytest.approx(np.mean(images, axis=(0, 1, 2)), rel=1e-5)


def test_encoded_images_and_no_file(capsys):
    assert compute_image_mean.main([str(DATA / "enc_lmdb"), "-backend=lmdb"]) == 0
    encoded = capsys.readouterr().err.split("Number of")[1]
    assert compute_image_mean.main([str(DATA / "raw_lmdb")]) == 0
    assert [line.split("]", 2)[1:] for line in encoded.splitlines()] == [
        line.split("]", 2)[1:]
        for line in capsys.readouterr().err.split("Number of")[1].splitlines()
    ]


def test_leveldb(tmp_path):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (7, 2, 3, 5), dtype=np.uint8)
    path = _write(tmp_path / "db", images, "leveldb")
    assert compute_image_mean.main(["--backend", "leveldb", path, str(tmp_path / "mean")]) == 0
    blob = _blob(tmp_path / "mean")
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 2, 3, 5)
    expected = images.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(np.reshape(blob.data, (2, 3, 5)), expected, rtol=1e-6)


def test_mistakes_are_one_line_and_code_1(tmp_path, capsys):
    sizes = [np.zeros((1, 3, 5), np.uint8), np.zeros((1, 5, 3), np.uint8)]
    path = _write(tmp_path / "db", sizes)
    for args, message in (
        ([path], r"db: record 1: expected an image (C, H, W) of (1, 3, 5) like the first"),
        ([str(tmp_path / "nix")], "nix: cannot open as LMDB: No such file"),
        ([str(DATA / "raw_lmdb"), f"{path}/data.mdb/mean"], "mean: cannot write: "),
    ):
        assert compute_image_mean.main(args) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
