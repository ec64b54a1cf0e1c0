"""Net text to net text: inputs, phase rules, automatic Splits, parse errors."""

import pytest
from google.protobuf import text_format

from caffe import CaffeError, graph
from caffe.proto import caffe_pb2


def parse(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def names(net):
    return [layer.name for layer in net.layer]


def test_inputs_become_one_input_layer():
    net = graph.prepare(
        parse('input:"a" input:"b" input_shape{dim:2 dim:3} input_shape{dim:5}'), caffe_pb2.TEST
    )
    (layer,) = net.layer
    assert (layer.type, list(layer.top)) == ("Input", ["a", "b"])
    assert [list(shape.dim) for shape in layer.input_param.shape] == [[2, 3], [5]]


def test_input_dim_gives_four_axes_to_each_input():
    dims = " ".join(f"input_dim:{n}" for n in (1, 3, 5, 7, 2, 4, 6, 8))
    net = graph.prepare(parse(f'input:"a" input:"b" {dims}'), caffe_pb2.TEST)
    shapes = [list(shape.dim) for shape in net.layer[0].input_param.shape]
    assert shapes == [[1, 3, 5, 7], [2, 4, 6, 8]]


def test_inputs_without_shapes_say_what_to_give():
    with pytest.raises(CaffeError, match=r"2 input\(s\) but 1 shape"):
        graph.prepare(parse('input:"a" input:"b" input_shape{dim:2}'), caffe_pb2.TEST)


@pytest.mark.parametrize(
    ("rule", "state", "kept"),
    [
        ("include{phase:TRAIN}", "phase:TRAIN", True),
        ("include{phase:TRAIN}", "phase:TEST", False),
        ("exclude{phase:TRAIN}", "phase:TRAIN", False),
        ("include{min_level:2}", "level:1", False),
        ("include{min_level:2}", "level:2", True),
        ("include{max_level:2}", "level:3", False),
        ('include{stage:"a" stage:"b"}', 'stage:"a"', False),
        ('include{stage:"a" stage:"b"}', 'stage:"b" stage:"a"', True),
        ('include{not_stage:"a"}', 'stage:"a"', False),
        ('include{stage:"a"} include{phase:TRAIN}', "phase:TRAIN", True),
    ],
)
def test_phase_level_and_stage_rules(rule, state, kept):
    net = parse(f'layer{{name:"x" type:"Input" top:"x" {rule}}} state{{{state}}}')
    assert bool(graph.filter_net(net).layer) is kept


def test_split_names_are_caffes():
    net = graph.prepare(
        parse(
            'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:1}}}'
            'layer{name:"r" type:"ReLU" bottom:"x" top:"x"}'
            'layer{name:"p" type:"Power" bottom:"x" top:"p"}'
            'layer{name:"q" type:"Power" bottom:"x" top:"q"}'
        ),
        caffe_pb2.TRAIN,
    )
    assert names(net) == ["in", "r", "x_r_0_split", "p", "q"]
    assert list(net.layer[2].top) == ["x_r_0_split_0", "x_r_0_split_1"]
    assert list(net.layer[4].bottom) == ["x_r_0_split_1"]


def test_a_weighted_top_that_is_read_gets_a_copy_for_its_weight():
    net = graph.prepare(
        parse(
            'layer{name:"in" type:"Input" top:"x" input_param{shape{dim:1}} }'
            'layer{name:"l" type:"Power" bottom:"x" top:"l" loss_weight:3}'
            'layer{name:"s" type:"Silence" bottom:"l"}'
        ),
        caffe_pb2.TRAIN,
    )
    split = net.layer[2]
    assert list(split.loss_weight) == [3, 0]
    assert list(net.layer[1].loss_weight) == [0]
    assert list(net.layer[3].bottom) == [split.top[1]]


def test_bottom_that_nobody_makes_names_layer_and_choices():
    with pytest.raises(CaffeError, match=r'layer "p" \(Power\): bottom "y".*blobs so far: x'):
        graph.prepare(
            parse(
                'layer{name:"in" type:"Input" top:"x"}'
                'layer{name:"p" type:"Power" bottom:"y" top:"p"}'
            ),
            caffe_pb2.TRAIN,
        )


def test_two_makers_of_one_top_are_named():
    with pytest.raises(CaffeError, match=r'layer "b".*top "x" is already the top of layer "a"'):
        graph.prepare(
            parse('layer{name:"a" type:"Input" top:"x"} layer{name:"b" type:"Input" top:"x"}'),
            caffe_pb2.TRAIN,
        )


def test_unknown_field_names_file_and_line(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('name: "n"\nlayer {\n  bottm: "x"\n}\n')
    with pytest.raises(CaffeError, match=r"net\.prototxt:3:.*bottm"):
        graph.read_text(path, caffe_pb2.NetParameter())


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CaffeError, match=r"none\.prototxt: cannot read: No such file"):
        graph.read_text(tmp_path / "none.prototxt", caffe_pb2.NetParameter())
