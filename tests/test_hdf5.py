"""HDF5 files: laid out as Caffe does, read back, and refused when they are damaged."""

import re

import h5py
import numpy as np
import pytest

import caffe
from caffe import hdf5
from caffe.weights import LayerWeights, NetWeights
from tests.layer_checks import net_from_text

# b shares a's weight under another shape and owns its bias; relu has no blobs.
NET = """
name: "shared"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "z/a" type: "InnerProduct" bottom: "x" top: "h" param { name: "w" }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "b" type: "InnerProduct" bottom: "h" top: "y"
  param { name: "w" share_mode: PERMISSIVE }
  inner_product_param { num_output: 3 bias_filler { type: "gaussian" } } }
"""


def _structure(path) -> dict[str, tuple | None]:
    """All names in the file: the shape of each dataset, None for a group."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", None)}))
    return found


def test_the_layout_is_caffes(tmp_path):
    net = net_from_text(tmp_path, NET)
    net.save_hdf5(tmp_path / "w")
    structure = _structure(tmp_path / "w")
    assert len(structure.pop("caffe")) == 1  # ours: what the layout has no place for
    assert structure == {
        "data": None,
        "data/in": None,
        "data/z": None,
        "data/z/a": None,
        "data/z/a/0": (2, 3),
        "data/z/a/1": (2,),
        "data/relu": None,
        "data/b": None,
        "data/b/1": (3,),
    }
    with h5py.File(tmp_path / "w", "r") as file:
        np.testing.assert_array_equal(file["data/z/a/0"], net.params["z/a"][0].data)
        assert file["data/b/1"].dtype == np.float32


def test_diffs_stand_beside_the_data_of_shared_parameters_too(tmp_path):
    net = net_from_text(tmp_path, NET)
    net.params["b"][1].diff[...] = 5
    net.save_hdf5(tmp_path / "w", write_diff=True)
    names = _structure(tmp_path / "w")
    assert {name for name in names if name.startswith("data/b/")} == {"data/b/1"}
    assert {name for name in names if name.startswith("diff/b/")} == {"diff/b/0", "diff/b/1"}
    with h5py.File(tmp_path / "w", "r") as file:
        np.testing.assert_array_equal(file["diff/b/1"], [5, 5, 5])


def test_round_trip_through_the_net(tmp_path):
    net, again = net_from_text(tmp_path, NET), net_from_text(tmp_path, NET)
    net.save_hdf5(tmp_path / "w.bin")
    again.load_hdf5(str(tmp_path / "w.bin"))
    for (mine, _), (theirs, _) in zip(again.learnable(), net.learnable(), strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
    np.testing.assert_array_equal(
        again.params["b"][0].data, net.params["z/a"][0].data.reshape(3, 2)
    )


def test_diffs_are_read_where_their_blobs_are(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/b/1"] = np.zeros(3, np.float32)
        file["diff/b/0"], file["diff/b/1"] = np.ones((3, 2)), np.ones(3)
        file["data/c/0"] = file["data/c/1"] = file["data/d/0"] = np.zeros(2)
        file["diff/c/1"] = np.ones(2)
    b, c, d = hdf5.read(tmp_path / "w.h5").layers
    assert [diff is None for diff in b.diffs] == [diff is None for diff in c.diffs] == [True, False]
    assert not d.diffs
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["diff/d/0"] = np.ones(3)
    pattern = r'w\.h5: layer "d", blob 0: expected a diff of shape \(2,\), got \(3,\)'
    with pytest.raises(caffe.CaffeError, match=pattern):
        hdf5.read(tmp_path / "w.h5")


def test_reads_what_caffe_writes(tmp_path):
    """Nothing but groups and datasets; numbers of another type than float32, too."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/z/a/0"] = np.arange(6.0).reshape(2, 3)
        file["data/z/a/1"] = np.array([7, 8])
        file["data/b/1"] = np.array([1, 2, 3], np.float16)
        for name in ("in", "relu", "x_in_0_split"):
            file.create_group(f"data/{name}")
    net = net_from_text(tmp_path, NET)
    net.copy_from(tmp_path / "w.h5")
    np.testing.assert_array_equal(net.params["z/a"][0].data, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(net.params["z/a"][1].data, [7, 8])
    np.testing.assert_array_equal(net.params["b"][0].data, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(net.params["b"][1].data, [1, 2, 3])


def test_order_types_and_names_that_hdf5_cannot_hold(tmp_path):
    one, two, three, four = (np.full(n, n, np.float32) for n in (1, 2, 3, 4))
    layers = [
        LayerWeights("z", [one], "Convolution", ["x", "y"], ["z"]),
        LayerWeights("a/b", [two], "PReLU"),
        LayerWeights("a", [three]),
        LayerWeights("z", []),
        LayerWeights("z", [four]),
        LayerWeights("", []),
        LayerWeights("/root", [one + 1]),
        LayerWeights("..", [two + 1]),
        LayerWeights("a/0", [three + 1]),
    ]
    hdf5.write(tmp_path / "w.h5", NetWeights(layers, "net"))
    found = hdf5.read(tmp_path / "w.h5")
    assert found.name == "net"
    assert [(la.name, la.type, la.bottoms, la.tops) for la in found.layers] == [
        (la.name, la.type, la.bottoms, la.tops) for la in layers
    ]
    for mine, theirs in zip(found.layers, layers, strict=True):
        assert len(mine.blobs) == len(theirs.blobs)
        assert all(map(np.array_equal, mine.blobs, theirs.blobs))
    assert {"data/z/0", "data/a/b/0", "data/a/0"} <= set(_structure(tmp_path / "w.h5"))


def _damaged(tmp_path, change) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/fc/0"] = np.zeros((2, 3), np.float32)
        change(file)


def _huge(file) -> None:
    file.create_dataset("data/fc/1", (1 << 20, 1 << 12), np.float32, chunks=(1, 1 << 10))


def _unwritten(file) -> None:
    file.create_dataset("data/fc/1", (1 << 20, 1 << 10), np.float32, chunks=(1, 1 << 10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("data"), "no group data in it"),
        (lambda file: file["data"].pop("fc"), "no layer with weights in it"),
        (lambda file: file["data/fc"].pop("0"), "no layer with weights in it"),
        (lambda file: file.update({"data/fc/kernel": 1}), "/data/fc/kernel: expected datasets nam"),
        (lambda file: file.update({"data/fc/999999999": 1}), "/data/fc/999999999: expected dat"),
        (lambda file: file.update({"data/fc/01": 1}), "/data/fc/01: expected datasets named"),
        (lambda file: file.update({b"data/fc/\xff": 1}), "expected datasets named"),
        (lambda file: file.create_group(b"data/\xff"), "or damaged: "),
        (lambda file: file.update({"caffe": 5}), "or damaged: "),
        (lambda file: file.update({"caffe": np.frombuffer(b"[]", np.uint8)}), "or damaged: exp"),
        (lambda file: file.update({"data/fc/1": b"text"}), r"/data/fc/1: expected numbers, the"),
        (lambda file: file.update({"data/fc/1": h5py.Empty("f")}), r"/data/fc/1: expected numbers"),
        (
            lambda file: file.update({"data/fc/1": h5py.SoftLink("/no")}),
            "or damaged: .*component",
        ),
        (_unwritten, r"/data/fc/1: its numbers, of shape \(1048576, 1024\), were never written"),
        (_huge, "were never written"),
    ],
)
def test_files_with_something_wrong_inside(tmp_path, change, message):
    _damaged(tmp_path, change)
    with pytest.raises(caffe.CaffeError, match=rf"w\.h5: .*{message}"):
        hdf5.read(tmp_path / "w.h5")


def test_a_blob_of_more_numbers_than_caffe_allows(tmp_path):
    def change(file) -> None:
        _huge(file)
        file["data/fc/1"][0, 0] = 1

    _damaged(tmp_path, change)
    with pytest.raises(caffe.CaffeError, match="/data/fc/1: expected a blob of at most 214748"):
        hdf5.read(tmp_path / "w.h5")


def test_a_file_cut_off_or_damaged_changes_nothing(tmp_path):
    net = net_from_text(tmp_path, NET)
    net.save_hdf5(tmp_path / "w.h5")
    content = (tmp_path / "w.h5").read_bytes()
    before = [blob.data.copy() for blob, _ in net.learnable()]
    for length in range(0, len(content), 97):
        (tmp_path / "w.h5").write_bytes(content[:length])
        with pytest.raises(caffe.CaffeError, match=r"w\.h5: not an HDF5 file, or damaged"):
            net.copy_from(tmp_path / "w.h5")
    assert all(map(np.array_equal, [blob.data for blob, _ in net.learnable()], before))
    rng, refused = np.random.default_rng(0), 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (tmp_path / "w.h5").write_bytes(damaged)
        try:
            hdf5.read(tmp_path / "w.h5")
        except caffe.CaffeError:
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.h5", "cannot read: No such file or directory"), ("", "cannot read: Is a directory")],
)
def test_files_that_are_not_there(tmp_path, name, message):
    path = str(tmp_path / name)
    with pytest.raises(caffe.CaffeError, match=f"{re.escape(path)}: {message}"):
        hdf5.read(path)


def test_a_states_layout_is_caffes(tmp_path):
    history = [np.full((2, 3), 1.5, np.float32), np.arange(4, dtype=np.float32)]
    path = tmp_path / "s.solverstate.h5"
    hdf5.write_state(path, 20_000_001, "out/net_iter_3.caffemodel.h5", history, 2)
    with h5py.File(path, "r") as file:
        assert sorted(file) == ["current_step", "history", "iter", "learned_net"]
        assert file["iter"].shape == file["current_step"].shape == (1,)
        assert file["iter"].dtype == file["current_step"].dtype == np.int32
        assert (file["iter"][0], file["current_step"][0]) == (20_000_001, 2)
        # as C reads it: a string of a fixed size that ends with a zero
        assert file["learned_net"].dtype == f"S{len('out/net_iter_3.caffemodel.h5') + 1}"
        assert file["learned_net"][()] == b"out/net_iter_3.caffemodel.h5"
        assert sorted(file["history"]) == ["0", "1"]
        np.testing.assert_array_equal(file["history/0"], history[0])
    iteration, learned_net, again = hdf5.read_state(path)
    assert (iteration, learned_net) == (20_000_001, "out/net_iter_3.caffemodel.h5")
    assert all(map(np.array_equal, again, history))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("iter"), "no iter and history in it"),
        (lambda file: file.pop("history"), "no iter and history in it"),
        (lambda file: file["history"].pop("0"), "/history/1: expected datasets named"),
        (lambda file: file.update({"history/5": 1}), "/history/5: expected datasets named"),
        (lambda file: [file.pop("iter"), file.update({"iter": b"x"})], "iter: expected numbers"),
        (lambda file: [file.pop("iter"), file.update({"iter": [1, 2]})], "or damaged: too many"),
        (lambda file: [file.pop("learned_net"), file.update({"learned_net": 7})], "learned_net: e"),
    ],
)
def test_states_with_something_wrong_inside(tmp_path, change, message):
    path = tmp_path / "s.h5"
    hdf5.write_state(path, 5, "w", [np.zeros(2, np.float32), np.zeros(3, np.float32)], 0)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(caffe.CaffeError, match=rf"s\.h5: .*{message}"):
        hdf5.read_state(path)
