"""Which format a weights file is read and written in."""

import h5py
import numpy as np
import pytest

import caffe
from caffe import weights_file
from caffe.proto import caffe_pb2
from caffe.weights import LayerWeights, NetWeights

WEIGHTS = NetWeights([LayerWeights("fc", [np.arange(6, dtype=np.float32).reshape(2, 3)])], "net")
HDF5 = b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("w.caffemodel", "protobuf"),
        ("w.h5.bin", "protobuf"),
        ("w.caffemodel.h5", "HDF5"),
        ("w.safetensors", "safetensors"),
    ],
)
def test_the_suffix_says_what_is_written_and_all_is_read(tmp_path, name, kind):
    path = tmp_path / name
    weights_file.write(path, WEIGHTS)
    content = path.read_bytes()
    if kind == "protobuf":
        assert caffe_pb2.NetParameter.FromString(content).layer[0].blobs[0].data[:] == [*range(6)]
    assert content.startswith(HDF5) == (kind == "HDF5")
    assert (b'"dtype":"F32"' in content[:500]) == (kind == "safetensors")
    (layer,) = weights_file.read(str(path)).layers
    np.testing.assert_array_equal(layer.blobs[0], WEIGHTS.layers[0].blobs[0])


def test_hdf5_is_known_under_any_name(tmp_path):
    weights_file.write(tmp_path / "w.h5", WEIGHTS)
    (tmp_path / "w.h5").rename(tmp_path / "w.caffemodel")
    assert h5py.is_hdf5(tmp_path / "w.caffemodel")
    assert weights_file.read(tmp_path / "w.caffemodel").layers[0].name == "fc"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("w.h5", "not an HDF5 file, or damaged"),
        ("w.safetensors", "not a safetensors file, or damaged"),
        ("w.caffemodel", "not a binary protobuf file of Caffe"),
    ],
)
def test_a_suffix_that_the_content_belies(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"\xff\xfe neither of them")
    with pytest.raises(caffe.CaffeError, match=rf"{name}: {message}"):
        weights_file.read(tmp_path / name)


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5", "w.safetensors"])
def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch, name):
    path = tmp_path / name
    weights_file.write(path, WEIGHTS)
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(caffe.CaffeError, match=f"{name}: cannot write: No space left"):
        weights_file.write(path, NetWeights([LayerWeights("x", [np.ones(3, np.float32)])]))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]
