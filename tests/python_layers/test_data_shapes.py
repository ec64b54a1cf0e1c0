"""with_inputs: training nets without their data have blobs of the same shapes."""

import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from python_layers.data_shapes import with_inputs


def read(path):
    return read_text(f"models/demo/{path}/train.prototxt", caffe_pb2.NetParameter())


def inputs_of(net):
    return {
        top: tuple(shape.dim)
        for layer in net.layer
        if layer.type == "Input"
        for top, shape in zip(layer.top, layer.input_param.shape, strict=True)
    }


def test_inputs_of_each_data_layer():
    wsddn = {
        "data": (3, 3, 192, 192), "label": (3, 12), "rois": (3 * 64, 6), "roi_mask": (3, 64)
    }  # fmt: skip
    assert inputs_of(with_inputs(read("wsddn"), 3)) == wsddn
    larger = with_inputs(read("wsddn"), 3, side=224)
    assert inputs_of(larger) == wsddn | {"data": (3, 3, 224, 224)}
    assert inputs_of(with_inputs(read("student"), 2)) == {
        "data": (2, 3, 192, 192),
        "label": (2, 12),
    }
    objects = {"data": (5, 3, 96, 96), "label": (5,)}
    assert inputs_of(with_inputs(read("pretrain"), 5)) == objects
    kept = {"rois_teacher": (3 * 8, 6), "rois_student": (3 * 8, 6)}
    assert inputs_of(with_inputs(read("stage1"), 3)) == wsddn | kept
    every = inputs_of(with_inputs(read("released/stage1"), 3))
    assert every["rois_teacher"] == every["rois_student"] == (3 * 64, 6)


def test_all_else_stays_and_the_net_builds():
    before = read("stage1")
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(before)
    after = with_inputs(before, 2)
    assert before == copy
    rest = [layer for layer in after.layer if layer.type != "Input"]
    assert rest == [layer for layer in before.layer if layer.type != "Python"]
    net = caffe.Net(after, caffe.TRAIN)
    assert net.blobs["teacher_features"].shape == (2 * 8, 64 * 3 * 3)


def test_an_unknown_data_layer_is_named():
    text = 'layer { name: "read" type: "Python" top: "x" python_param { layer: "Mine" } }'
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    with pytest.raises(ValueError, match='layer "read": no shapes known of Mine without its data'):
        with_inputs(net, 1)
