"""HDF5Output: what is in the file after each pass, and what HDF5Data makes of it."""

import h5py
import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TEXT = """
layer {{ name: "in" type: "Input" top: "x" top: "y"
  input_param {{ shape {{ {x} }} shape {{ {y} }} }} }}
layer {{ name: "out" type: "HDF5Output" bottom: "x" bottom: "y"
  hdf5_output_param {{ {file} }} }}
"""


def _net(folder, x: str = "dim: 2 dim: 3 dim: 7 dim: 5", y: str = "dim: 2", file: str = ""):
    file = file or f'file_name: "{folder}/out.h5"'
    return net_from_text(folder, TEXT.format(x=x, y=y, file=file))


def _forward(net, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    for blob in net.blobs.values():
        blob.data[...] = rng.standard_normal(blob.shape)
    net.forward()
    return [blob.data.copy() for blob in net.blobs.values()]


def test_every_batch_is_in_the_file_after_its_pass(tmp_path):
    net = _net(tmp_path)
    wanted = []
    for seed in range(3):
        wanted.append(_forward(net, seed))
        with h5py.File(tmp_path / "out.h5", "r") as file:
            assert sorted(file) == ["data", "label"]
            assert file["data"].dtype == file["label"].dtype == np.float32
            data, label = (np.concatenate(batches) for batches in zip(*wanted, strict=True))
            np.testing.assert_array_equal(file["data"], data)
            np.testing.assert_array_equal(file["label"], label.reshape(-1, 1, 1, 1))


def test_shapes_have_at_least_four_axes_as_in_caffe(tmp_path):
    _forward(_net(tmp_path, x="dim: 2 dim: 3", y="dim: 2 dim: 4 dim: 1 dim: 5 dim: 3"), 0)
    with h5py.File(tmp_path / "out.h5", "r") as file:
        assert file["data"].shape == (2, 3, 1, 1)
        assert file["label"].shape == (2, 4, 1, 5, 3)


def test_a_new_net_starts_the_file_anew(tmp_path):
    _forward(_net(tmp_path), 0)
    net = _net(tmp_path)
    with h5py.File(tmp_path / "out.h5", "r") as file:
        assert not list(file)
    net.blobs["x"].reshape(5, 3, 7, 2)
    net.blobs["y"].reshape(5)
    want = _forward(net, 1)[0]
    with h5py.File(tmp_path / "out.h5", "r") as file:
        np.testing.assert_array_equal(file["data"], want)


def test_hdf5_data_reads_what_it_wrote(tmp_path):
    want = _forward(_net(tmp_path), 4)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/out.h5")
    text = 'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param '
    net = net_from_text(tmp_path, text + f'{{ source: "{tmp_path}/list.txt" batch_size: 2 }} }}')
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, want[0])
    np.testing.assert_array_equal(net.blobs["label"].data.ravel(), want[1])


def test_items_of_another_shape_leave_the_file_as_it_is(tmp_path):
    net = _net(tmp_path)
    _forward(net, 0)
    net.blobs["y"].reshape(2, 4)
    with pytest.raises(caffe.CaffeError, match=r'out\.h5: "label" has items of shape \(1, 1, 1\)'):
        _forward(net, 1)
    with h5py.File(tmp_path / "out.h5", "r") as file:
        assert len(file["data"]) == len(file["label"]) == 2


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ({"y": "dim: 3"}, r"expected as many labels as items of data, got \(3,\) for \(2, 3"),
        ({"file": 'file_name: ""'}, "hdf5_output_param: file_name is missing"),
        ({"file": 'file_name: "/nowhere/x.h5"'}, r"/nowhere/x\.h5: cannot write: .*No such file"),
    ],
)
def test_names_what_does_not_fit(tmp_path, net, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "out" \(HDF5Output\): {message}'):
        _net(tmp_path, **net)
