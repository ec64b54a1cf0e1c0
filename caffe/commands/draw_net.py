"""draw_net: a picture of a net, as pycaffe's draw_net.py makes it."""

import argparse
from collections.abc import Sequence

from caffe import draw
from caffe.commands import common
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text

_PHASES = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST, "ALL": None}


def _parser() -> common.Parser:
    parser = common.Parser(
        "draw_net",
        description="Draw a net with Graphviz: layers as boxes, blobs as octagons.",
        epilog="Example: draw_net deploy.prototxt net.svg --rankdir TB",
    )
    parser.add_argument("input_net_proto_file", help="the net, a prototxt")
    parser.add_argument("output_image_file", help="where to; the ending says the format: .png, ...")
    parser.add_argument(
        "--rankdir",
        default="LR",
        metavar="DIRECTION",
        help="from where to where the net runs: LR (left to right, the default), RL, TB or BT",
    )
    parser.add_argument(
        "--phase",
        choices=_PHASES,
        default="ALL",
        help="the layers of this phase alone (default: ALL)",
    )
    parser.add_argument(
        "--display_lrm", action=common.Switch, help="also show what multiplies learning rates"
    )
    return parser


def _draw(args: argparse.Namespace) -> None:
    net = read_text(args.input_net_proto_file, caffe_pb2.NetParameter())
    print(f"Drawing net to {args.output_image_file}")
    draw.draw_net_to_file(
        net, args.output_image_file, args.rankdir, _PHASES[args.phase], args.display_lrm
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return common.run(_parser(), _draw, argv)
