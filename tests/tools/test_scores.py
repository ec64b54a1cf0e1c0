"""Score 1 in the data and in RoI pooling; the layer named where they do not fit."""

import json
import pathlib

import pytest
import scores
from errors import UserError
from google.protobuf import text_format

from caffe.proto import caffe_pb2

MODELS = pathlib.Path(__file__).parents[2] / "models"


def read_net(name):
    text = (MODELS / name).read_text(encoding="utf-8")
    return text_format.Parse(text, caffe_pb2.NetParameter())


def factors(net):
    pooling = [layer.roi_pooling_param for layer in net.layer if layer.type == "ROIPooling"]
    return [(param.score_scale, param.score_bias) for param in pooling]


def test_a_net_for_scored_boxes_becomes_one_for_equal_ones():
    net = read_net("voc2007/stage1/train.prototxt")
    scores.check_scores(net)
    assert factors(net) == [(10, 1), (0, 1), (0, 1)]
    before = net.SerializeToString()
    scores.use_score_one(net)
    assert factors(net) == [(1, 0), (0, 1), (0, 1)], "those that ignore the score still do"
    [data] = [layer for layer in net.layer if layer.type == "Python"][:1]
    assert json.loads(data.python_param.param_str)["score"] == "one"
    scores.check_scores(net)
    data.python_param.param_str = data.python_param.param_str.replace('"one"', '"proposal"')
    layer = next(layer for layer in net.layer if layer.type == "ROIPooling")
    layer.roi_pooling_param.score_scale, layer.roi_pooling_param.score_bias = 10, 1
    assert net.SerializeToString() == before, "nothing else was changed"


def test_a_net_that_scales_by_a_score_that_is_none_is_named():
    net = read_net("voc2007/wsddn/train.prototxt")
    data = net.layer[0].python_param
    data.param_str = data.param_str.replace('"proposal"', '"one"')
    message = 'layer "roi_pool5": expected score_scale 1 and score_bias 0, since each box has score'
    with pytest.raises(UserError, match=f"{message} 1, got 10 and 1; use --score one"):
        scores.check_scores(net)


def test_pyramid_pooling_counts_too():
    net = caffe_pb2.NetParameter()
    text_format.Parse(
        'layer { name: "data" type: "Python" python_param { layer: "ProposalData" '
        'param_str: "{\\"score\\": \\"one\\"}" } }'
        'layer { name: "spp" type: "ROISpatialPyramidPooling" '
        "roi_spatial_pyramid_pooling_param { score_scale: 10 score_bias: 1 } }",
        net,
    )
    with pytest.raises(UserError, match='layer "spp": expected score_scale 1'):
        scores.check_scores(net)
    scores.use_score_one(net)
    scores.check_scores(net)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/*/*.prototxt")), ids=str)
def test_the_committed_nets_fit(path):
    if path.name != "solver.prototxt":
        scores.check_scores(read_net(path))
