"""safetensors files: written, read back, read without our metadata, refused."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import caffe
from caffe import safetensors_file
from caffe.weights import LayerWeights, NetWeights
from tests.layer_checks import net_from_text


def _arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(len(shapes))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_round_trip_keeps_all_there_is_to_know(tmp_path):
    layers = [
        LayerWeights("data", [], "Input", [], ["data", "label"]),
        LayerWeights("conv.1", _arrays((4, 3, 7, 5), (4,)), "Convolution", ["data"], ["conv"]),
        LayerWeights("fc", _arrays((2, 3), ()), "InnerProduct", diffs=_arrays((2, 3), ())),
        LayerWeights("fc", _arrays((5,)), "Bias"),
        LayerWeights("shares", [None, *_arrays((3,))]),
    ]
    safetensors_file.write(tmp_path / "w.safetensors", NetWeights(layers, "net"))
    found = safetensors_file.read(tmp_path / "w.safetensors")
    assert found.name == "net"
    for mine, theirs in zip(found.layers, layers, strict=True):
        for field in ("name", "type", "bottoms", "tops"):
            assert getattr(mine, field) == getattr(theirs, field)
        for got, want in ((mine.blobs, theirs.blobs), (mine.diffs, theirs.diffs)):
            assert [np.shape(array) for array in got] == [np.shape(array) for array in want]
            assert all(map(np.array_equal, got, want))
    tensors = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    names = ["conv.1.0", "conv.1.1", "fc.0", "fc.0.diff", "fc.1", "fc.1.diff", "shares.1"]
    assert sorted(tensors) == sorted([*names, "layer 3.0"])


def test_a_net_is_saved_and_loaded(tmp_path):
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }"""
    net, again = net_from_text(tmp_path, text), net_from_text(tmp_path, text)
    net.save(tmp_path / "w.safetensors")
    again.copy_from(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again.params["fc"][0].data, net.params["fc"][0].data)


def test_files_of_others_need_no_metadata_and_any_type_of_numbers(tmp_path):
    path = tmp_path / "w.safetensors"
    tensors = {"fc.1": torch.tensor([3.0], dtype=torch.bfloat16), "fc.0": torch.tensor([[1, 2]])}
    safetensors.torch.save_file(tensors, path)
    (layer,) = safetensors_file.read(path).layers
    assert (layer.name, layer.type) == ("fc", "")
    assert [blob.tolist() for blob in layer.blobs] == [[[1, 2]], [3]]
    assert all(blob.dtype == np.float32 for blob in layer.blobs)


def test_diffs_of_some_blobs(tmp_path):
    path, (blob, diff) = tmp_path / "w.safetensors", _arrays((2, 3), (2, 3))
    safetensors.numpy.save_file({"a.0": blob, "a.1": blob, "a.0.diff": diff}, path)
    (layer,) = safetensors_file.read(path).layers
    np.testing.assert_array_equal(layer.diffs[0], diff)
    assert layer.diffs[1:] == [None]
    safetensors.numpy.save_file({"a.0": blob, "a.0.diff": diff.T.copy()}, path)
    pattern = r'layer "a", blob 0: expected a diff of shape \(2, 3\), got \(3, 2\)'
    with pytest.raises(caffe.CaffeError, match=pattern):
        safetensors_file.read(path)


def _with_header(path, header: dict, content: bytes = b"") -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def _tensor(*shape: int) -> dict:
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * int(np.prod(shape))]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"fc.weight": _tensor(1)}, "fc.weight: expected tensors named <layer>.<number of the bl"),
        ({"fc.1000": _tensor(1)}, "fc.1000: expected tensors named"),
        ({"fc.0": _tensor(2)}, "not a safetensors file, or damaged: "),
        ({}, "no layer with weights in it"),
        ({"__metadata__": {"caffe": "{"}, "fc.0": _tensor(1)}, "or damaged: Expecting property"),
        ({"__metadata__": {"caffe": "[]"}, "fc.0": _tensor(1)}, "or damaged: expected a descr"),
        (
            {"__metadata__": {"caffe": '{"layers": [{}]}'}, "fc.0": _tensor(1)},
            "damaged: 'bottoms'",
        ),
    ],
)
def test_files_with_something_wrong_inside(tmp_path, header, message):
    _with_header(tmp_path / "w.safetensors", header, bytes(4 * bool(header)))
    with pytest.raises(caffe.CaffeError, match=rf"w\.safetensors: .*({message})"):
        safetensors_file.read(tmp_path / "w.safetensors")


def test_a_file_cut_off_or_missing(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors_file.write(path, NetWeights([LayerWeights("fc", _arrays((5, 3)))]))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(caffe.CaffeError, match=r"w\.safetensors: not a safetensors file, or d"):
            safetensors_file.read(path)
    path.unlink()
    with pytest.raises(caffe.CaffeError, match=r"w\.safetensors: cannot read"):
        safetensors_file.read(path)
