"""Weights files: written, read, refused."""

import struct

import numpy as np
import pytest

import caffe
from caffe import caffemodel, weights_file
from caffe.proto import caffe_pb2, weights_pb2
from caffe.weights import LayerWeights, NetWeights
from tests.layer_checks import GOLDEN, net_from_text

FC = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param {{ num_output: {n} weight_filler {{ type: "gaussian" }} }} }}
"""


def test_round_trip_through_the_full_message(tmp_path):
    net = net_from_text(tmp_path, FC.format(n=5))
    net.save(tmp_path / "w.caffemodel")
    full = caffe_pb2.NetParameter()
    full.ParseFromString((tmp_path / "w.caffemodel").read_bytes())
    layer = next(layer for layer in full.layer if layer.name == "fc")
    assert (layer.type, list(layer.bottom), list(layer.top)) == ("InnerProduct", ["x"], ["y"])
    assert list(layer.blobs[0].shape.dim) == [5, 3]
    np.testing.assert_array_equal(
        np.array(layer.blobs[0].data, np.float32).reshape(5, 3), net.params["fc"][0].data
    )
    again = net_from_text(tmp_path, FC.format(n=5))
    again.copy_from(tmp_path / "w.caffemodel")
    np.testing.assert_array_equal(again.params["fc"][0].data, net.params["fc"][0].data)


def test_reads_the_originals_file(tmp_path):
    case = np.load(GOLDEN / "solver" / "solver_sgd_fixed.npz")
    net = net_from_text(
        tmp_path,
        'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:5 dim:7}}}'
        'layer{name:"ip1" type:"InnerProduct" bottom:"x" top:"y" '
        "inner_product_param{num_output:6}}",
    )
    net.copy_from(GOLDEN / "solver" / "sgd_fixed_iter_12.caffemodel")
    np.testing.assert_allclose(net.params["ip1"][0].data, case["after12_ip1_0"], rtol=1e-5)


def test_reads_v1_layers_with_four_axes_and_double_numbers(tmp_path):
    message = weights_pb2.Net()
    layer = message.layers.add(name="fc")
    weight = layer.blobs.add(num=1, channels=1, height=2, width=3)
    weight.data.append(np.arange(6, dtype="<f4").tobytes())
    bias = layer.blobs.add(num=1, channels=1, height=1, width=2)
    bias.double_data.append(struct.pack("<2d", 0.5, -0.5))
    path = tmp_path / "old.caffemodel"
    path.write_bytes(message.SerializeToString())
    net = net_from_text(tmp_path, FC.format(n=2))
    net.copy_from(path)
    np.testing.assert_array_equal(net.params["fc"][0].data, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(net.params["fc"][1].data, [0.5, -0.5])


def test_reads_v0_layers_inside_v1_layers(tmp_path):
    """Through the full message, whose fields the originals share."""
    message = caffe_pb2.NetParameter(name="old")
    layer = message.layers.add(bottom=["x"], top=["y"])
    layer.layer.name, layer.layer.type = "fc", "innerproduct"
    layer.layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    layer.layer.blobs.add(num=1, channels=1, height=1, width=2, data=[0.5, -0.5])
    path = tmp_path / "old.caffemodel"
    path.write_bytes(message.SerializeToString())
    net = net_from_text(tmp_path, FC.format(n=2))
    net.copy_from(path)
    np.testing.assert_array_equal(net.params["fc"][0].data, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(net.params["fc"][1].data, [0.5, -0.5])


def test_reads_types_bottoms_and_tops_of_every_generation(tmp_path):
    message = caffe_pb2.NetParameter(name="mixed")
    oldest = message.layers.add(bottom=["x"], top=["a"])
    oldest.layer.name, oldest.layer.type = "v0", "conv"
    message.layers.add(name="v1", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT, top=["b"])
    message.layer.add(name="now", type="PReLU", bottom=["b"], top=["c"])
    for layer in (oldest.layer, message.layers[1], message.layer[0]):
        layer.blobs.add(data=[1], shape={"dim": [1]})
    (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
    found = caffemodel.read(tmp_path / "w.caffemodel")
    assert found.name == "mixed"
    assert [(la.name, la.type, la.bottoms, la.tops) for la in found.layers] == [
        ("v0", "Convolution", ["x"], ["a"]),
        ("v1", "InnerProduct", [], ["b"]),
        ("now", "PReLU", ["b"], ["c"]),
    ]


def test_diffs_single_and_double(tmp_path):
    message = caffe_pb2.NetParameter()
    layer = message.layer.add(name="fc", type="InnerProduct")
    layer.blobs.add(data=range(6), diff=range(6, 12), shape={"dim": [2, 3]})
    layer.blobs.add(double_data=[3, 4], double_diff=[5, 6], shape={"dim": [2]})
    path = tmp_path / "w.caffemodel"
    path.write_bytes(message.SerializeToString())
    (weights,) = caffemodel.read(path).layers
    np.testing.assert_array_equal(weights.diffs[0], [[6, 7, 8], [9, 10, 11]])
    np.testing.assert_array_equal(weights.diffs[1], [5, 6])
    caffemodel.write(path, caffemodel.read(path))
    full = caffe_pb2.NetParameter.FromString(path.read_bytes())
    assert [list(blob.diff) for blob in full.layer[0].blobs] == [[*range(6, 12)], [5, 6]]


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        ({"shape": {"dim": [2, 3]}, "data": [1]}, r"a blob of shape \(2, 3\) holds 1 numbers"),
        ({"shape": {"dim": [2]}, "double_data": [1]}, r"a blob of shape \(2,\) holds 1 numbers"),
        ({"num": 2, "channels": 3, "data": [1]}, r"of shape \(2, 3, 0, 0\) holds 1 numbers"),
        ({"shape": {"dim": [1 << 20, 1 << 11]}}, r"at most 2147483647 numbers, got shape"),
        ({"shape": {"dim": [1 << 62, 1 << 62]}}, r"at most 2147483647 numbers, got shape"),
        ({"shape": {"dim": [-1, -2]}}, r"expected axes of at least 0"),
        ({"shape": {"dim": [1]}, "data": [1], "diff": [1, 2]}, r"diff: a blob of shape \(1,\) hol"),
    ],
)
def test_a_blob_that_cannot_be_names_file_layer_and_place(tmp_path, blob, message):
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="fc")
    layer.blobs.add(data=[1], shape={"dim": [1]})
    layer.blobs.add(**blob)
    path = tmp_path / "w.caffemodel"
    path.write_bytes(net.SerializeToString())
    with pytest.raises(caffe.CaffeError, match=rf'w\.caffemodel: layer "fc", blob 1.*{message}'):
        caffemodel.read(path)


def test_half_a_number_is_no_number(tmp_path):
    net = weights_pb2.Net()
    blob = net.layer.add(name="fc").blobs.add(data=[bytes(7)])
    blob.shape.dim.append(1)
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(caffe.CaffeError, match=r"a blob of shape \(1,\) holds 7 bytes"):
        caffemodel.read(tmp_path / "w.caffemodel")


def test_a_file_cut_off_anywhere_is_refused_or_lacks_whole_layers(tmp_path):
    net = net_from_text(tmp_path, FC.format(n=5))
    net.save(tmp_path / "w.caffemodel")
    content = (tmp_path / "w.caffemodel").read_bytes()
    before = [blob.data.copy() for blob in net.params["fc"]]
    path = tmp_path / "cut.caffemodel"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(caffe.CaffeError, match=r"cut\.caffemodel: (not a binary|no layer)"):
            net.copy_from(path)
    assert all(map(np.array_equal, [blob.data for blob in net.params["fc"]], before))


def test_damaged_bytes_are_refused_or_read_but_never_crash(tmp_path):
    net_from_text(tmp_path, FC.format(n=5)).save(tmp_path / "w.caffemodel")
    content = bytearray((tmp_path / "w.caffemodel").read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        (tmp_path / "w.caffemodel").write_bytes(damaged)
        try:
            caffemodel.read(tmp_path / "w.caffemodel")
        except caffe.CaffeError:
            refused += 1
    assert 30 < refused < 300


def test_names_in_other_encodings_than_utf8_are_read(tmp_path):
    message = weights_pb2.Net()
    message.layer.add(name="kernel").blobs.add(data=[np.float32(2).tobytes()])
    content = message.SerializeToString().replace(b"kernel", b"k\xe9rnel"[:3] + b"nel")
    (tmp_path / "w.caffemodel").write_bytes(content)
    assert caffemodel.read(tmp_path / "w.caffemodel").layers[0].name == "k\ufffdrnel"


def test_a_file_beyond_protobufs_limit_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.caffemodel"
    with open(path, "wb") as file:
        file.truncate(2**31)
    pattern = r"huge\.caffemodel: expected a Net of at most 2147483647 bytes, got 2147483648"
    with pytest.raises(caffe.CaffeError, match=pattern):
        caffemodel.read(path)


def test_a_blob_that_is_kept_elsewhere_cannot_be_written(tmp_path):
    weights = NetWeights([LayerWeights("fc", [None, np.zeros(2, np.float32)])])
    with pytest.raises(caffe.CaffeError, match=r'w\.caffemodel: layer "fc", blob 0 is a shared'):
        caffemodel.write(tmp_path / "w.caffemodel", weights)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe not protobuf", "not a binary protobuf"), (b"", "no layer with weights")],
)
def test_files_that_are_not_weights(tmp_path, content, words):
    (tmp_path / "bad.caffemodel").write_bytes(content)
    net = net_from_text(tmp_path, FC.format(n=5))
    with pytest.raises(caffe.CaffeError, match=rf"bad\.caffemodel.*{words}"):
        net.copy_from(tmp_path / "bad.caffemodel")


def test_missing_file_and_unwritable_folder(tmp_path):
    net = net_from_text(tmp_path, FC.format(n=5))
    with pytest.raises(caffe.CaffeError, match=r"none\.caffemodel: cannot read"):
        net.copy_from(tmp_path / "none.caffemodel")
    (tmp_path / "file").write_text("")
    with pytest.raises(caffe.CaffeError, match="cannot write"):
        net.save(tmp_path / "file" / "w.caffemodel")


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    net = net_from_text(tmp_path, FC.format(n=5))
    path = tmp_path / "w.caffemodel"
    net.save(path)
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    net.params["fc"][0].data[...] = 1
    with pytest.raises(caffe.CaffeError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.prototxt", "w.caffemodel"]


def test_a_saved_file_holds_the_layers_whole_text(tmp_path):
    """Programs that make a prototxt of a .caffemodel read it there."""
    text = """
    layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "y" param { lr_mult: 3 }
      convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
    """
    net = net_from_text(tmp_path, text)
    path, again = tmp_path / "a.caffemodel", tmp_path / "b.caffemodel"
    net.save(path)
    weights_file.write(again, weights_file.read(path))
    for file in (path, again):
        message = caffe_pb2.NetParameter.FromString(file.read_bytes())
        conv = message.layer[1]
        assert (conv.convolution_param.num_output, list(conv.convolution_param.pad)) == (4, [1])
        assert conv.param[0].lr_mult == 3
        assert list(conv.blobs[0].shape.dim) == [4, 3, 3, 3]
        assert list(message.layer[0].input_param.shape[0].dim) == [2, 3, 5, 7]


def test_fields_of_another_tree_survive(tmp_path):
    layer = weights_pb2.Layer(name="interp", type="Interp")
    layer.blobs.add(data=[b"\0\0\x80?"]).shape.dim.append(1)
    alien = b"\xfa\x08\x04\x08\x03\x10\x05"  # field 143 in the PSPNet fork: height 3, width 5
    path, again = tmp_path / "a.caffemodel", tmp_path / "b.caffemodel"
    layer.MergeFromString(alien)
    path.write_bytes(weights_pb2.Net(layer=[layer]).SerializeToString())
    weights = weights_file.read(path)
    weights.layers[0].name = "renamed"
    weights_file.write(again, weights)
    assert alien in again.read_bytes()
    assert weights_file.read(again).layers[0].name == "renamed"
