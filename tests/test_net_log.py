"""The lines that Caffe logs while it builds a net."""

from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

NET = """
name: "small"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } shape { dim: 2 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 4 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "parts" type: "Slice" bottom: "ip1" top: "right" top: "left"
  loss_weight: 0 loss_weight: 0.5 }
"""
LINES = """\
Creating Layer in
in -> data
in -> label
Setting up in
Top shape: 2 3 7 5 (210)
Top shape: 2 (2)
Memory required for data: 848
Creating Layer ip1
ip1 <- data
ip1 -> ip1
Setting up ip1
Top shape: 2 4 (8)
Memory required for data: 880
Creating Layer relu1
relu1 <- ip1
relu1 -> ip1 (in-place)
Setting up relu1
Top shape: 2 4 (8)
Memory required for data: 912
Creating Layer parts
parts <- ip1
parts -> right
parts -> left
Setting up parts
Top shape: 2 2 (4)
Top shape: 2 2 (4)
    with loss weight 0.5
Memory required for data: 944
This network produces output label
This network produces output left
This network produces output right
Network initialization done."""


def test_lines_of_construction(caplog):
    caplog.set_level("INFO", logger="caffe")
    param = text_format.Parse(NET, caffe_pb2.NetParameter())
    net = caffe.Net(param, caffe.TRAIN)
    first, *lines = [record.getMessage() for record in caplog.records]
    assert first.startswith('Initializing net from parameters: \nname: "small"\n')
    assert "\n".join(lines) == LINES
    # As Caffe's set of them: by name, not in the order of the layers.
    assert net.outputs == ["label", "left", "right"]
