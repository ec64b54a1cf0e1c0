"""MATLAB files: axes, what MATLAB leaves out, names; errors."""

import numpy as np
import pytest
import scipy.io
from google.protobuf import text_format

import caffe
from caffe.data import mat_file
from caffe.proto import caffe_pb2

BLOB = np.arange(2 * 3 * 7 * 5, dtype=np.float32).reshape(2, 3, 7, 5)


def test_matlab_sees_width_height_channels_items(tmp_path):
    mat_file.write(tmp_path / "a.mat", BLOB)
    data = scipy.io.loadmat(tmp_path / "a.mat")["data"]
    assert (data.shape, data.dtype) == ((5, 7, 3, 2), np.float32)
    assert data[4, 6, 1, 0] == BLOB[0, 1, 6, 4]
    np.testing.assert_array_equal(mat_file.read(tmp_path / "a.mat"), BLOB)


@pytest.mark.parametrize(
    ("shape", "full"),
    [((4,), (4, 1, 1, 1)), ((4, 3), (4, 3, 1, 1)), ((4, 3, 2), (4, 3, 2, 1)), ((), (1, 1, 1, 1))],
)
def test_missing_axes_are_of_length_one(tmp_path, shape, full):
    blob = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    mat_file.write(tmp_path / "a.mat", blob)
    np.testing.assert_array_equal(mat_file.read(tmp_path / "a.mat"), blob.reshape(full))


@pytest.mark.parametrize(("shape", "blob"), [((5, 7, 3), (1, 3, 7, 5)), ((5, 7), (1, 1, 7, 5))])
def test_reads_doubles_and_compressed_files_without_the_last_axes(tmp_path, shape, blob):
    array = np.random.default_rng(0).standard_normal(shape)
    scipy.io.savemat(tmp_path / "a.mat", {"data": array, "other": "x"}, do_compression=True)
    got = mat_file.read(tmp_path / "a.mat")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.float32(array.T.reshape(blob)))


def test_names_what_cannot_be_read(tmp_path):
    def error_of(**variables) -> str:
        scipy.io.savemat(tmp_path / "a.mat", variables)
        return _error(tmp_path / "a.mat")

    assert 'a variable "data" of real numbers' in error_of(other=BLOB)
    assert 'a variable "data" of real numbers' in error_of(data="text")
    assert 'a variable "data" of real numbers' in error_of(data=BLOB + 1j)
    assert "W x H x C x N, got (1, 2, 3, 4, 5)" in error_of(data=np.ones((1, 2, 3, 4, 5)))
    assert "none.mat: cannot read: No such file" in _error(tmp_path / "none.mat")
    mat_file.write(tmp_path / "b.mat", BLOB)
    content = (tmp_path / "b.mat").read_bytes()
    newer = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    for damaged in (b"", b"x" * 300, content[:60], content[:400], bytes(len(content)), newer):
        (tmp_path / "b.mat").write_bytes(damaged)
        assert "b.mat: " in _error(tmp_path / "b.mat")
    assert "up to version 7: save it with -v7" in _error(tmp_path / "b.mat")


def _error(path) -> str:
    with pytest.raises(caffe.CaffeError) as caught:
        mat_file.read(path)
    return str(caught.value)


def test_names_what_cannot_be_written(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"at most 4 axes, got \(1, 1, 1, 1, 2\)"):
        mat_file.write(tmp_path / "a.mat", np.ones((1, 1, 1, 1, 2)))


def _names(text: str) -> mat_file.Names:
    return mat_file.Names(text_format.Parse(text, caffe_pb2.MatReadParameter()))


def test_file_names(tmp_path):
    (tmp_path / "list.txt").write_text("a/b.jpg 1\n\nc.jpeg\n", encoding="utf-8")
    source = f'prefix:"out/" source:"{tmp_path}/list.txt"'
    names = _names(f"{source} strip:4")
    assert len(names) == 2
    assert names.path(0, 0) == "out/a/b_blob_0.mat"
    assert names.path(1, 2) == "out/c._blob_2.mat"
    assert _names(source).path(1, 0) == "out/c.jpeg_blob_0.mat"
    assert _names('prefix:"out_"').path(12, 3) == "out_iter_12_blob_3.mat"
    for strip in (-1, 6, 7):
        match = rf"list.txt:\d: expected strip to be 0 to [56], .*got {strip}"
        with pytest.raises(caffe.CaffeError, match=match):
            _names(f"{source} strip:{strip}")
