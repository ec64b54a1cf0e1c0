"""ONNX files: every layer type that goes, in onnxruntime; names, errors, what cannot go and why."""

import re

import numpy as np
import onnx
import pytest

import caffe
from caffe.export import onnx_model, verify
from caffe.export.onnx_graph import writer_of
from tests import evidence
from tests.export.layer_cases import BOTH, NEVER, ONNX_ALONE, net

IN = 'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:2 dim:3 dim:7 dim:5}}}'


def errors_of(made: caffe.Net, inputs: dict[str, np.ndarray]) -> dict[str, float]:
    """How far off each output is in onnxruntime."""
    got = onnx_model.run(onnx_model.model(made), inputs)
    assert set(got) == set(made.outputs)
    return verify.differences(made, inputs, got)


@pytest.mark.parametrize("case", BOTH + ONNX_ALONE, ids=lambda case: f"{case.type} {case.fields}")
def test_onnxruntime_computes_the_same(case):
    errors = errors_of(case.net(), case.arrays())
    assert max(errors.values()) <= 1e-5, errors
    evidence.EXPORTS.append(evidence.Export(case.type, "onnx", max(errors.values())))


def test_inputs_and_what_leads_nowhere():
    made = net(
        IN + 'layer{name:"s" type:"Silence" bottom:"x"} layer{name:"y" type:"AbsVal" '
        'bottom:"x" top:"y"}'
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5), np.float32)
    assert np.array_equal(onnx_model.run(onnx_model.model(made), {"x": x})["y"], np.abs(x))
    evidence.EXPORTS.extend(evidence.Export(name, "onnx", 0.0) for name in ("Input", "Silence"))


def test_every_layer_type_is_tried_or_known_not_to_go():
    tried = {case.type for case in BOTH + ONNX_ALONE}
    assert {*caffe.layer_type_list()} - tried == {*NEVER, "Input", "Silence"}
    assert [name for name in NEVER if writer_of(name)] == []


def test_values_are_called_as_the_blobs():
    text = (
        IN
        + """layer{name:"relu" type:"ReLU" bottom:"x" top:"x"}
      layer{name:"c.1" type:"Convolution" bottom:"x" top:"c"
        convolution_param{num_output:4 kernel_size:3 bias_term:false}}
      layer{name:"two" type:"Power" bottom:"c" top:"c" power_param{scale:2}}
      layer{name:"drop" type:"Dropout" bottom:"c" top:"d"}"""
    )
    made = net(f'name:"n" {text}')
    graph = onnx.load_from_string(onnx_model.model(made)).graph
    assert [value.name for value in graph.input] == ["x"]
    assert [value.name for value in graph.output] == ["d"]
    assert "c.1.0" in {tensor.name for tensor in graph.initializer}
    computed = [name for node in graph.node for name in node.output]
    assert len(computed) == len({*computed, "x"}) - 1
    assert {"c", "d"} <= {*computed}
    assert max(errors_of(made, verify.examples(made, seed=2)).values()) <= 1e-5


def test_an_input_that_a_layer_changes_in_place():
    made = net(IN + 'layer{name:"relu" type:"ReLU" bottom:"x" top:"x"}')
    words = 'layer "relu" (ReLU): cannot go to ONNX: its top "x" is an input too; call it otherwise'
    with pytest.raises(caffe.CaffeError, match=re.escape(words)):
        onnx_model.model(made)


def test_layers_of_one_name():
    text = "".join(
        f'layer{{name:"same" type:"InnerProduct" bottom:"{x}" top:"{y}" '
        f"inner_product_param{{num_output:{n}}}}}"
        for x, y, n in (("x", "a", 4), ("a", "b", 6))
    )
    made = net(IN + text)
    assert max(errors_of(made, verify.examples(made, seed=2)).values()) <= 1e-5


def test_a_parameter_of_two_layers_is_there_once():
    text = "".join(
        f'layer{{name:"{y}" type:"InnerProduct" bottom:"{x}" top:"{y}" param{{name:"w"}} '
        "inner_product_param{num_output:5 axis:3 bias_term:false}}"
        for x, y in (("x", "a"), ("a", "b"))
    )
    made = net(IN + text)
    graph = onnx.load_from_string(onnx_model.model(made)).graph
    weights = [tensor.name for tensor in graph.initializer if list(tensor.dims) == [5, 5]]
    assert weights == ["a.0"]
    assert max(errors_of(made, verify.examples(made, seed=2)).values()) <= 1e-5


def test_filters_rows_are_not_fixed():
    text = 'name:"n" layer{name:"s" type:"Input" top:"s" input_param{shape{dim:2}}}' + IN
    text += 'layer{name:"f" type:"Filter" bottom:"x" bottom:"s" top:"y"}'
    shape = (
        onnx.load_from_string(onnx_model.model(net(text))).graph.output[0].type.tensor_type.shape
    )
    assert [dim.dim_value or dim.dim_param for dim in shape.dim] == ["rows", 3, 7, 5]
    with pytest.raises(caffe.CaffeError, match=r'layer "f" \(Filter\): .*how many rows'):
        onnx_model.model(net(text + 'layer{name:"z" type:"AbsVal" bottom:"y" top:"z"}'))


CANNOT = [
    ('type:"UniqueLabel" bottom:"x" top:"y" unique_label_param{max_labels:9}', "no standard op"),
    (
        'type:"MemoryData" top:"y" top:"z" '
        "memory_data_param{batch_size:2 channels:3 height:4 width:5}",
        "it reads or writes data; export a deploy net",
    ),
    ('type:"DummyData" top:"y" dummy_data_param{data_filler{type:"uniform"} shape{}}', "by chance"),
    ('type:"Dropout" bottom:"x" top:"y" phase:TRAIN', "draws at random in phase TRAIN"),
    ('type:"BN" bottom:"x" top:"y" phase:TRAIN', "updates its blobs in phase TRAIN"),
    (
        'type:"Pooling" bottom:"x" top:"y" phase:TRAIN '
        "pooling_param{pool:STOCHASTIC kernel_size:3}",
        "draws at random in phase TRAIN",
    ),
    (
        'type:"Pooling" bottom:"x" top:"y" pooling_param{kernel_size:1 stride:5}',
        "its last window lies outside the map",
    ),
    (
        'type:"Convolution" bottom:"x" top:"y" '
        "convolution_param{axis:-5 num_output:2 kernel_size:1}",
        "runtimes know 3 spatial axes at most, it has 4",
    ),
]


@pytest.mark.parametrize(("layer", "why"), CANNOT)
def test_what_cannot_go_says_why(layer, why):
    shape = "dim:2 dim:1 dim:7 dim:5" if "axis:-5" not in layer else "dim:1 dim:2 dim:3 dim:4 " * 2
    shape = " ".join(shape.split()[:6])
    made = net(IN.replace("dim:2 dim:3 dim:7 dim:5", shape) + f'layer{{name:"l" {layer}}}')
    kind = made.layer_dict["l"].type
    words = re.escape(f'layer "l" ({kind}): cannot go to ONNX: ') + ".*" + re.escape(why)
    with pytest.raises(caffe.CaffeError, match=words):
        onnx_model.model(made)


def test_a_net_without_outputs():
    made = net(IN + 'layer{name:"s" type:"Silence" bottom:"x"}')
    with pytest.raises(caffe.CaffeError, match="it has no outputs to export"):
        onnx_model.model(made)


def test_a_file_holds_two_gigabytes(monkeypatch):
    monkeypatch.setattr(onnx_model, "_MOST", 99)
    made = net(IN + 'layer{name:"p" type:"Parameter" top:"y" parameter_param{shape{dim:25}}}')
    with pytest.raises(
        caffe.CaffeError, match='net "": 100 bytes of weights; an ONNX file holds 99'
    ):
        onnx_model.model(made)
