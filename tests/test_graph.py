"""Net text to net text: inputs, phase rules, automatic Splits."""

import pytest
from google.protobuf import text_format

from caffe import TEST, CaffeError, Net, graph
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
        ('include{stage:"a"} include{phase:TRAIN}', "phase:TEST", False),
        ("include{min_level:1 max_level:2}", "level:2", True),
        ("include{max_level:0}", "", True),
        ("include{min_level:-2}", "level:-3", False),
        ('include{stage:"a" not_stage:"b"}', 'stage:"a" stage:"b"', False),
        ('include{stage:"a" not_stage:"b"}', 'stage:"a" stage:"c"', True),
        ('exclude{not_stage:"b"}', 'stage:"a"', False),
        ('exclude{not_stage:"b"}', 'stage:"b"', True),
        ('exclude{stage:"a" phase:TEST}', 'stage:"a" phase:TRAIN', True),
        ('exclude{stage:"a"} exclude{phase:TEST}', "phase:TEST", False),
        ("include{}", "phase:TRAIN", True),
        ("exclude{}", "phase:TRAIN", False),
        ("", "phase:TRAIN", True),
    ],
)
def test_phase_level_and_stage_rules(rule, state, kept):
    net = parse(f'layer{{name:"x" type:"Input" top:"x" {rule}}} state{{{state}}}')
    assert bool(graph.filter_net(net).layer) is kept


def test_include_beside_exclude_is_an_error():
    net = parse('layer{name:"x" type:"ReLU" include{phase:TRAIN} exclude{stage:"a"}}')
    with pytest.raises(CaffeError, match='layer "x": give include rules or exclude rules, not'):
        graph.filter_net(net)


def test_the_nets_own_state_counts_and_the_phase_is_the_callers():
    net = parse(
        'state{phase:TEST level:2 stage:"a"}'
        'layer{name:"x" type:"Input" top:"x" include{phase:TRAIN min_level:2 stage:"a"}}'
        'layer{name:"y" type:"Input" top:"y" include{phase:TEST}}'
    )
    assert names(graph.prepare(net, caffe_pb2.TRAIN)) == ["x"]
    assert names(graph.prepare(net, caffe_pb2.TEST)) == ["y"]


def test_level_and_stages_of_a_nets_call(tmp_path):
    path = tmp_path / "net.prototxt"
    layer = 'layer {{ name: "{0}" type: "DummyData" top: "{0}" {1} dummy_data_param {2} }}\n'
    shape = "{ shape { dim: 2 } }"
    rules = {
        "a": "include { min_level: 1 }",
        "b": 'include { stage: "s" }',
        "c": 'include { stage: "s" stage: "t" }',
        "d": 'exclude { stage: "t" }',
    }
    lines = (layer.format(name, rule, shape) for name, rule in rules.items())
    path.write_text('state { stage: "t" level: 5 }\n' + "".join(lines))
    kept = {
        name: list(Net(str(path), TEST, **call).blobs)
        for name, call in {
            "plain": {},
            "level": {"level": 1},
            "stage": {"stages": ["s"]},
        }.items()
    }
    assert kept == {"plain": [], "level": ["a"], "stage": ["b", "c"]}


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
