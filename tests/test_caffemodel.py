"""Weights files: written, read, refused."""

import struct

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2, weights_pb2
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


def test_shape_mismatch_names_file_layer_and_shapes(tmp_path):
    net_from_text(tmp_path, FC.format(n=5)).save(tmp_path / "w.caffemodel")
    net = net_from_text(tmp_path, FC.format(n=4))
    pattern = r'w\.caffemodel: layer "fc", blob 0: the net expects shape \(4, 3\).*has \(5, 3\)'
    with pytest.raises(caffe.CaffeError, match=pattern):
        net.copy_from(tmp_path / "w.caffemodel")


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
