"""draw: what is in the picture of a net, and Graphviz's part of it."""

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format

import caffe
import caffe.draw
from caffe.proto import caffe_pb2

MODELS = Path(__file__).parents[1] / "models"
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")

NET = """
name: "a net: \\"small\\""
layer { name: "in" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "set" batch_size: 32 } }
layer { name: "in" type: "Input" top: "data" include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 0.5 }
  convolution_param { num_output: 20 kernel_h: 3 kernel_w: 7 stride: 2 pad: 1 pad: 5 dilation: 2 } }
layer { name: "conv/relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool:1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "all" type: "Pooling" bottom: "pool:1" top: "all"
  pooling_param { global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "all" top: "fc"
  inner_product_param { num_output: 10 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss"
  include { phase: TRAIN } }
"""


@pytest.fixture
def net():
    return text_format.Parse(NET, caffe_pb2.NetParameter())


def labels(graph):
    """{name of a node in the graph: its label}."""
    return {node.get_name(): node.get("label").strip('"') for node in graph.get_nodes()}


def edges(graph):
    """(label of where from, label of where to, label of the edge) of each."""
    names = labels(graph)
    return [
        (names[edge.get_source()], names[edge.get_destination()], edge.get("label") or "")
        for edge in graph.get_edges()
    ]


def test_labels_of_layers(net):
    layers = list(net.layer)
    label = caffe.draw.get_layer_label
    assert label(layers[2], "LR") == (
        "conv\n(Convolution)\nkernel size: 3x7\nstride: 2\npad: 1x5\ndilation: 2"
    )
    assert label(layers[2], "TB", True).endswith("dilation: 2 lr mult: 0.5, 1")
    assert label(layers[4], "BT") == "pool (AVE Pooling) kernel size: 3 stride: 2 pad: 0"
    assert label(layers[5], "TB") == "all (MAX Pooling) kernel size: all"
    assert label(layers[3], "LR", display_lrm=True) == "conv/relu\n(ReLU)"


def test_labels_of_edges_and_multipliers(net):
    layers = list(net.layer)
    got = [caffe.draw.get_edge_label(layers[i]) for i in (0, 2, 3, 6)]
    assert got == ["Batch 32", "20", "", "10"]
    assert [caffe.draw.get_layer_lr_mult(layers[i]) for i in (2, 3, 6)] == [(0.5, 1), (), (1, 1)]
    layers[2].param.add(lr_mult=2)
    assert caffe.draw.get_layer_lr_mult(layers[2]) == (0.5, 2)
    assert caffe.draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}


def test_colours():
    names = ["Convolution", "Deconvolution", "Pooling", "InnerProduct", "Softmax"]
    colors = [caffe.draw.choose_color_by_layertype(name) for name in names]
    assert colors == ["#FF5050", "#FF5050", "#FF9900", "#CC33FF", "#6495ED"]


def test_the_graph_of_all_phases(net):
    before = net.SerializeToString()
    graph = caffe.draw.get_pydot_graph(net, "TB")
    assert net.SerializeToString() == before
    assert graph.get("rankdir") == "TB"
    blobs = {"data", "label", "conv", "pool:1", "all", "fc", "loss"}
    drawn = list(labels(graph).values())
    assert len(drawn) == len(blobs) + len(net.layer)  # both layers of one name are there
    assert blobs <= set(drawn)
    assert ("in (Data)", "data", "Batch 32") in [(a, b, c.strip('"')) for a, b, c in edges(graph)]
    assert ("in (Input)", "data", "") in edges(graph)
    assert [edge[:2] for edge in edges(graph) if "conv/relu (ReLU)" in edge] == [
        ("conv", "conv/relu (ReLU)"),
        ("conv/relu (ReLU)", "conv"),
    ]
    styles = {node.get("label").strip('"'): node for node in graph.get_nodes()}
    assert styles["conv"].get("shape") == "octagon"
    assert styles["conv/relu (ReLU)"].get("fillcolor").strip('"') == "#90EE90"
    assert styles["all (MAX Pooling) kernel size: all"].get("fillcolor").strip('"') == "#FF9900"


def test_the_graph_of_one_phase(net):
    test = labels(caffe.draw.get_pydot_graph(net, "TB", phase=caffe.TEST)).values()
    assert "in (Input)" in test
    assert not {"in (Data)", "label", "loss (SoftmaxWithLoss)"} & set(test)
    train = labels(caffe.draw.get_pydot_graph(net, "TB", phase=caffe.TRAIN)).values()
    assert "in (Input)" not in train
    assert {"in (Data)", "label", "loss (SoftmaxWithLoss)"} <= set(train)


def test_edges_without_labels(net):
    graph = caffe.draw.get_pydot_graph(net, "LR", label_edges=False)
    assert {edge[2] for edge in edges(graph)} == {""}


def test_old_nets_are_drawn_as_what_they_mean():
    old = (
        'input: "x" input_dim: 2 input_dim: 3 layers { name: "r" type: RELU bottom: "x" top: "y" }'
    )
    graph = caffe.draw.get_pydot_graph(text_format.Parse(old, caffe_pb2.NetParameter()), "TB")
    assert set(labels(graph).values()) == {"input (Input)", "x", "r (ReLU)", "y"}


def test_a_wrong_direction_is_named(net):
    with pytest.raises(caffe.CaffeError, match="rankdir: expected one of LR, RL, TB, BT, got UP"):
        caffe.draw.get_pydot_graph(net, "UP")


@needs_dot
def test_pictures(net, tmp_path):
    assert caffe.draw.draw_net(net, "LR").startswith(b"\x89PNG")
    svg = caffe.draw.draw_net(net, "LR", ext="svg", display_lrm=True).decode()
    for text in (">conv/relu<", ">pool:1<", ">kernel size: 3x7<", ">lr mult: 0.5, 1<", ">20<"):
        assert text in svg
    path = tmp_path / "test net.svg"
    caffe.draw.draw_net_to_file(net, str(path), "TB", caffe.TEST)
    text = path.read_text(encoding="utf-8")
    assert ">in (Input)<" in text
    assert ">in (Data)<" not in text


@needs_dot
def test_a_net_of_the_repository():
    path = MODELS / "demo" / "stage2" / "train.prototxt"
    param = text_format.Parse(path.read_text(encoding="utf-8"), caffe_pb2.NetParameter())
    text = caffe.draw.draw_net(param, "TB", "dot").decode()
    assert text.count("shape=box") == len(param.layer)


@needs_dot
def test_a_format_that_graphviz_does_not_know(net, tmp_path):
    with pytest.raises(caffe.CaffeError, match=r'as "nope": Graphviz says: .*not recognized'):
        caffe.draw.draw_net_to_file(net, tmp_path / "net.nope")
    assert not list(tmp_path.iterdir())


def test_a_file_without_an_ending(net, tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"net: expected an ending .* such as \.png"):
        caffe.draw.draw_net_to_file(net, tmp_path / "net")


def test_without_graphviz_the_remedy_is_named(net, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(caffe.CaffeError, match=r"dot is not on PATH; install it, .* graphviz"):
        caffe.draw.draw_net(net, "LR")
