"""Let a net run on a Caffe that lacks some of its layer types, as Python layers.

    python tools/rewrite_net.py models/demo/wsddn/deploy.prototxt out/wsddn_bvlc.prototxt
    python tools/rewrite_net.py in.prototxt out.prototxt --lacks ROIPooling Parameter

Layers of the types that Caffe lacks become layers of type "Python" that compute the same, from the
package python_layers: names, blobs and weights files stay what they are. Without --lacks these are
the types with a twin there that BVLC Caffe does not have. The original must have been built with
WITH_PYTHON_LAYER=1, for Python 3.8 or later, and find python_layers on its PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from errors import UserError, exit_code
from google.protobuf import text_format
from options import one_of
from run_files import read_prototxt, write_text

from caffe.proto import caffe_pb2


class Twin(NamedTuple):
    """A Python layer that computes what a layer type does; its class has the type's name."""

    module: str
    field: str = ""  # the message of LayerParameter whose fields are keys of its param_str
    is_loss: bool = False


TWINS = {
    "BN": Twin("bn", "bn_param"),
    "CrossEntropyLoss": Twin("cross_entropy_loss", is_loss=True),
    "FeatureL2Loss": Twin("feature_l2_loss", is_loss=True),
    "Interp": Twin("interp", "interp_param"),
    "Normalization": Twin("normalization"),
    "Parameter": Twin("parameter", "parameter_param"),
    "PredictionL2Loss": Twin("prediction_l2_loss", is_loss=True),
    "ROIPooling": Twin("roi_pooling", "roi_pooling_param"),
    "ROISpatialPyramidPooling": Twin(
        "roi_spatial_pyramid_pooling", "roi_spatial_pyramid_pooling_param"
    ),
    "ScoreWeightedConcat": Twin("score_weighted_concat"),
}
OF_BVLC = ("Parameter",)


def options(layer: caffe_pb2.LayerParameter, field: str) -> dict:
    """The fields that a layer's message sets, as the keys of its twin's param_str."""
    found = {}
    for key, value in getattr(layer, field).ListFields():
        if key.name == "engine":  # which computes the same
            continue
        if isinstance(value, caffe_pb2.BlobShape):
            value = value.dim
        if isinstance(value, caffe_pb2.FillerParameter):
            if value.type != "constant":
                raise UserError(
                    f'layer "{layer.name}" ({layer.type}): {key.name}: expected type "constant", '
                    f'got "{value.type}"; its Python layer has no other'
                )
            value = value.value
        found[key.name] = value if isinstance(value, int | float | str) else list(value)
    return found


def keep_statistics(layer: caffe_pb2.LayerParameter) -> None:
    """Let the solver leave alone what a BN layer does itself: its last two blobs, frozen all."""
    while len(layer.param) < 4:
        layer.param.add()
    for spec in layer.param[0 if layer.bn_param.frozen else 2 :]:
        spec.lr_mult = spec.decay_mult = 0


def rewrite_layer(layer: caffe_pb2.LayerParameter) -> None:
    """Make it a Python layer."""
    twin = TWINS[layer.type]
    if layer.type == "BN":
        keep_statistics(layer)
    python = layer.python_param
    python.module, python.layer = f"python_layers.{twin.module}", layer.type
    if twin.field:
        python.param_str = json.dumps(options(layer, twin.field))
        layer.ClearField(twin.field)
    layer.type = "Python"
    if twin.is_loss:
        layer.top[:] = layer.top or [layer.name]
        layer.loss_weight[:] = layer.loss_weight or [1]


def rewrite(net: caffe_pb2.NetParameter, lacks: Collection[str]) -> list[str]:
    """Make layers of these types Python layers; the names of those that are now.

    UserError for a net in the format of before 2014.
    """
    if net.layers:
        raise UserError("a net of old `layers`: convert it with upgrade_net_proto_text first")
    chosen = [layer for layer in net.layer if layer.type in lacks and layer.type in TWINS]
    for layer in chosen:
        rewrite_layer(layer)
    return [layer.name for layer in chosen]


def convert(source: Path, target: Path, lacks: Collection[str]) -> None:
    """Read, rewrite, write; say which layers changed."""
    net = read_prototxt(source, caffe_pb2.NetParameter())
    try:
        changed = rewrite(net, lacks)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    head = f"# Written by tools/rewrite_net.py from {source}.\n"
    write_text(target, head + text_format.MessageToString(net))
    print(f"{target}: {len(changed)} Python layers: {', '.join(changed) or 'none needed'}")


def parser() -> argparse.ArgumentParser:
    make = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    make.add_argument("source", type=Path, metavar="in.prototxt")
    make.add_argument("target", type=Path, metavar="out.prototxt")
    make.add_argument(
        "--lacks",
        nargs="+",
        type=one_of(tuple(TWINS)),
        default=[name for name in TWINS if name not in OF_BVLC],
        metavar="TYPE",
        help=f"layer types to replace, out of {', '.join(TWINS)}",
    )
    return make


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    return exit_code("rewrite_net.py", lambda: convert(args.source, args.target, args.lacks))


if __name__ == "__main__":
    sys.exit(main())
