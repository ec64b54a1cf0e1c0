"""Write a net's prototxt, of whatever age, in the current form.

upgrade_net_proto_text NET_PROTO_FILE_IN NET_PROTO_FILE_OUT
"""

import argparse
import logging
from collections.abc import Sequence

from google.protobuf import text_format

from caffe.commands.common import Parser, run
from caffe.files import write_atomic
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from caffe.upgrade import net_needs_upgrade, upgrade_net

_log = logging.getLogger("caffe")


def bring_up_to_date(net: caffe_pb2.NetParameter, path: str) -> int:
    """Upgrade the net that was read from `path`, in place; the command's exit code.

    1 if a V0 layer had fields that its type does not have; the net is usable without them.
    """
    if not net_needs_upgrade(net):
        _log.error("File already in latest proto format: %s", path)
        return 0
    if not upgrade_net(net, path):
        _log.error("Encountered error(s) while upgrading prototxt; see details above.")
        return 1
    return 0


def upgrade(args: argparse.Namespace) -> int:
    """Upgrade what the command line names."""
    net = read_text(args.net_in, caffe_pb2.NetParameter())
    code = bring_up_to_date(net, args.net_in)
    write_atomic(args.net_out, text_format.MessageToString(net).encode())
    _log.info("Wrote upgraded NetParameter text proto to %s", args.net_out)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    epilog = "Example: upgrade_net_proto_text old.prototxt new.prototxt"
    parser = Parser(
        "upgrade_net_proto_text", description=(__doc__ or "").split("\n")[0], epilog=epilog
    )
    parser.add_argument("net_in", metavar="NET_PROTO_FILE_IN", help="a net of any age")
    parser.add_argument("net_out", metavar="NET_PROTO_FILE_OUT", help="where to write it")
    return run(parser, upgrade, argv)
