"""The proposals' scores and RoI pooling's score_scale and score_bias, which must fit together.

RoI pooling multiplies a box's features by score_scale * score + score_bias: 1 + 10 score for
scored proposals. Where each box has score 1 that factor must be 1, so that the boxes count alike
and the features keep the scale that the weights were trained with.
"""

from __future__ import annotations

from collections.abc import Iterator

from errors import UserError
from layer_options import layers_of, options_of, set_options

from caffe.proto import caffe_pb2
from python_layers.roi_pooling import POOLING_DEFAULTS


def _odd_pooling(
    net: caffe_pb2.NetParameter,
) -> Iterator[tuple[caffe_pb2.LayerParameter, float, float]]:
    """RoI pooling that changes the features of a box of score 1, its score_scale and score_bias."""
    for layer in layers_of(net, "ROIPooling", "ROISpatialPyramidPooling"):
        options = POOLING_DEFAULTS | options_of(layer)
        scale, bias = options["score_scale"], options["score_bias"]
        if scale + bias != 1:
            yield layer, scale, bias


def use_score_one(net: caffe_pb2.NetParameter) -> None:
    """Let each box of the net count alike: what `--score one` means for a net."""
    for layer in layers_of(net, "ProposalData"):
        set_options(layer, score="one")
    for layer, _, _ in _odd_pooling(net):
        set_options(layer, score_scale=1, score_bias=0)


def check_scores(net: caffe_pb2.NetParameter) -> None:
    """UserError naming the layer if the net gives each box score 1 and then scales by it.

    That a net reads scores which the proposals do not have is for ProposalData to notice.
    """
    if not any(options_of(layer).get("score") == "one" for layer in layers_of(net, "ProposalData")):
        return
    for layer, scale, bias in _odd_pooling(net):
        raise UserError(
            f'layer "{layer.name}": expected score_scale 1 and score_bias 0, since each box has '
            f"score 1, got {scale:g} and {bias:g}; use --score one"
        )
