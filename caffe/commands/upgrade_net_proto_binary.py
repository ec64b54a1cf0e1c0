"""Write a net's binary file (.caffemodel), of whatever age, in the current form, blobs included.

upgrade_net_proto_binary NET_PROTO_FILE_IN NET_PROTO_FILE_OUT
"""

import argparse
import logging
from collections.abc import Sequence

from caffe.caffemodel import parse_binary
from caffe.commands.common import Parser, run
from caffe.commands.upgrade_net_proto_text import bring_up_to_date
from caffe.files import write_atomic
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


def upgrade(args: argparse.Namespace) -> int:
    """Upgrade what the command line names."""
    net = parse_binary(args.net_in, caffe_pb2.NetParameter())
    code = bring_up_to_date(net, args.net_in)
    write_atomic(args.net_out, net.SerializeToString())
    _log.info("Wrote upgraded NetParameter binary proto to %s", args.net_out)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    epilog = "Example: upgrade_net_proto_binary old.caffemodel new.caffemodel"
    parser = Parser(
        "upgrade_net_proto_binary", description=(__doc__ or "").split("\n")[0], epilog=epilog
    )
    parser.add_argument("net_in", metavar="NET_PROTO_FILE_IN", help="a .caffemodel of any age")
    parser.add_argument("net_out", metavar="NET_PROTO_FILE_OUT", help="where to write it")
    return run(parser, upgrade, argv)
