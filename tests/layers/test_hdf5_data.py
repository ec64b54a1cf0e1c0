"""HDF5Data: order of rows and files, chance, what is read, errors that name the file."""

from itertools import pairwise

import h5py
import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TEXT = """
layer {{ name: "d" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "{folder}/list.txt" {more} }} }}
"""


def _rows(first: int, count: int) -> dict[str, np.ndarray]:
    """data (count, C=3, H=7, W=5) and label (count): both begin with the row's number."""
    numbers = np.arange(first, first + count)
    data = np.random.default_rng(first).standard_normal((count, 3, 7, 5)).astype(np.float32)
    data[:, 0, 0, 0] = numbers
    return {"data": data, "label": numbers}


def _write(folder, *files: dict[str, np.ndarray]) -> None:
    paths = [folder / f"{i}.h5" for i in range(len(files))]
    for path, datasets in zip(paths, files, strict=True):
        with h5py.File(path, "w") as file:
            for name, array in datasets.items():
                file[name] = array
    (folder / "list.txt").write_text("\n".join(map(str, paths)) + "\n")


def _net(folder, more: str):
    return net_from_text(folder, TEXT.format(folder=folder, more=more))


def _labels(net, batches: int) -> list[int]:
    found = []
    for _ in range(batches):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data[:, 0, 0, 0], net.blobs["label"].data)
        found += net.blobs["label"].data.astype(int).tolist()
    return found


def test_rows_go_on_across_files_and_around(tmp_path):
    """Files of 3, 1 and 6 rows in batches of 4: every row once in ten, in order."""
    files = _rows(0, 3), _rows(3, 1), _rows(4, 6)
    _write(tmp_path, *files)
    net = _net(tmp_path, "batch_size: 4")
    assert net.blobs["data"].shape == (4, 3, 7, 5)
    assert net.blobs["label"].shape == (4,)
    net.forward()
    want = np.concatenate([file["data"] for file in files])[:4]
    np.testing.assert_array_equal(net.blobs["data"].data, want)
    assert _labels(net, 4) == [i % 10 for i in range(4, 20)]


def test_a_batch_may_be_larger_than_all_files(tmp_path):
    _write(tmp_path, _rows(0, 2), _rows(2, 1))
    assert _labels(_net(tmp_path, "batch_size: 7"), 2) == [i % 3 for i in range(14)]


def test_shuffle_orders_files_and_rows_anew_in_each_round(tmp_path):
    _write(tmp_path, _rows(0, 5), _rows(10, 6), _rows(20, 4))
    caffe.set_random_seed(1)
    seen = _labels(_net(tmp_path, "batch_size: 5 shuffle: true"), 30)
    rounds = [seen[i : i + 15] for i in range(0, 150, 15)]
    everything = [*range(5), *range(10, 16), *range(20, 24)]
    assert all(sorted(numbers) == everything for numbers in rounds)
    assert len({tuple(numbers) for numbers in rounds}) == len(rounds)
    files = [list(dict.fromkeys(number // 10 for number in numbers)) for numbers in rounds]
    assert all(len(order) == 3 for order in files)
    # a file's rows stay together
    changes = [sum(np.diff([n // 10 for n in numbers]) != 0) for numbers in rounds]
    assert changes == [2] * len(rounds)
    assert len({tuple(order) for order in files}) > 1
    # and are out of order within a batch, too
    falls = [b < a and a // 10 == b // 10 for i, (a, b) in enumerate(pairwise(seen)) if i % 5 < 4]
    assert any(falls)
    caffe.set_random_seed(1)
    assert _labels(_net(tmp_path, "batch_size: 5 shuffle: true"), 30) == seen


def test_tops_are_named_as_they_like_and_numbers_of_any_type(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.integers(0, 255, (4, 3), dtype=np.uint8),
        "b/c": rng.standard_normal((4, 2, 5)),
        "d": rng.standard_normal(4).astype(np.float16),
    }
    _write(tmp_path, {**arrays, "unused": np.zeros(9)})
    text = TEXT.replace('top: "data" top: "label"', 'top: "d" top: "a" top: "b/c"')
    net = net_from_text(tmp_path, text.format(folder=tmp_path, more="batch_size: 2"))
    for first in (0, 2):
        net.forward()
        for name, array in arrays.items():
            want = array[first : first + 2].astype(np.float32)
            np.testing.assert_array_equal(net.blobs[name].data, want)


def test_a_huge_file_costs_the_memory_of_a_batch(tmp_path):
    """A trillion numbers, of which only the chunks with the first rows were written."""
    with h5py.File(tmp_path / "0.h5", "w") as file:
        for name, item in (("data", (1000, 1000)), ("label", ())):
            dataset = file.create_dataset(name, (10**6, *item), np.float32, chunks=(1, *item))
            dataset[:3] = 7
    (tmp_path / "list.txt").write_text(str(tmp_path / "0.h5"))
    net = _net(tmp_path, "batch_size: 2")
    net.forward()
    assert np.unique(net.blobs["data"].data).tolist() == [7]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "expected a batch_size of at least 1, got 0"),
        ("batch_size: 1 } transform_param { scale: 2", "transform_param: this layer does not"),
    ],
)
def test_refuses_fields(tmp_path, more, message):
    _write(tmp_path, _rows(0, 2))
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(HDF5Data\): {message}'):
        _net(tmp_path, more)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"data": np.zeros((2, 3, 7, 5))}, r'1\.h5: no dataset "label"; there are data'),
        (
            {"data": np.zeros((2, 3, 7, 5)), "label": np.zeros(4)},
            r"1\.h5: expected as many rows, 1 or more, in 'data', 'label'; got \[2, 4\]",
        ),
        (_rows(0, 0), r"1\.h5: expected as many rows, 1 or more, .* got \[0, 0\]"),
        (
            {"data": np.zeros((2, 3, 5, 7)), "label": np.zeros(2)},
            r"1\.h5: expected rows of shapes \[\(3, 7, 5\), \(\)\] .* got \[\(3, 5, 7\), \(\)\]",
        ),
        (
            {"data": np.zeros((2, 3, 7, 5)), "label": np.array([b"cat", b"dog"])},
            r'1\.h5: "label": expected numbers, the dataset holds \|S3',
        ),
        ({"data": 5, "label": 6}, r'1\.h5: "data": expected rows, got one number'),
    ],
)
def test_names_the_file_that_does_not_fit(tmp_path, second, message):
    _write(tmp_path, _rows(0, 2), second)
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(HDF5Data\): .*{message}'):
        _net(tmp_path, "batch_size: 1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"list\.txt: cannot read"),
        (" \n", r"list\.txt: expected the names of HDF5 files, it has none"),
        ("/nowhere/x.h5", r"/nowhere/x\.h5: cannot read: No such file"),
        ("{folder}/list.txt", r"list\.txt: not an HDF5 file, or damaged"),
    ],
)
def test_names_a_bad_list_or_file(tmp_path, content, message):
    if content is not None:
        (tmp_path / "list.txt").write_text(content.format(folder=tmp_path))
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(HDF5Data\): .*{message}'):
        _net(tmp_path, "batch_size: 1")


def test_a_file_that_vanishes_while_training_is_named(tmp_path):
    _write(tmp_path, _rows(0, 2), _rows(2, 2))
    net = _net(tmp_path, "batch_size: 2")
    (tmp_path / "1.h5").unlink()
    net.forward()
    with pytest.raises(caffe.CaffeError, match=r'layer "d" .*1\.h5: cannot read'):
        net.forward()
