"""The proposals' scores and RoI pooling's score_scale and score_bias, which must fit together.

RoI pooling multiplies a box's features by score_scale * score + score_bias: 1 + 10 score for
scored proposals. Where each box has score 1 that factor must be 1, so that the boxes count alike
and the features keep the scale that the weights were trained with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from errors import UserError
from google.protobuf.message import Message

from caffe.proto import caffe_pb2

POOLING = {
    "ROIPooling": "roi_pooling_param",
    "ROISpatialPyramidPooling": "roi_spatial_pyramid_pooling_param",
}


def _odd_pooling(net: caffe_pb2.NetParameter) -> Iterator[tuple[str, Message]]:
    """(layer name, parameters) of RoI pooling that changes the features of a box of score 1."""
    for layer in net.layer:
        if layer.type in POOLING:
            param = getattr(layer, POOLING[layer.type])
            if param.score_scale + param.score_bias != 1:
                yield layer.name, param


def _data(net: caffe_pb2.NetParameter) -> Iterator[tuple[caffe_pb2.PythonParameter, dict]]:
    for layer in net.layer:
        if layer.type == "Python" and layer.python_param.layer == "ProposalData":
            yield layer.python_param, json.loads(layer.python_param.param_str)


def use_score_one(net: caffe_pb2.NetParameter) -> None:
    """Let each box of the net count alike: what `--score one` means for a net."""
    for python, options in _data(net):
        python.param_str = json.dumps(options | {"score": "one"})
    for _, param in _odd_pooling(net):
        param.score_scale, param.score_bias = 1, 0


def check_scores(net: caffe_pb2.NetParameter) -> None:
    """UserError naming the layer if the net gives each box score 1 and then scales by it.

    That a net reads scores which the proposals do not have is for ProposalData to notice.
    """
    if not any(options.get("score") == "one" for _, options in _data(net)):
        return
    for name, param in _odd_pooling(net):
        raise UserError(
            f'layer "{name}": expected score_scale 1 and score_bias 0, since each box has score '
            f"1, got {param.score_scale:g} and {param.score_bias:g}; use --score one"
        )
