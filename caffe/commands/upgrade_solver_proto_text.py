"""Write a solver's prototxt, of whatever age, in the current form.

upgrade_solver_proto_text OLD_SOLVER_PROTO_FILE_IN SOLVER_PROTO_FILE_OUT
"""

import argparse
import logging
from collections.abc import Sequence

from google.protobuf import text_format

from caffe.commands.common import Parser, run
from caffe.files import write_atomic
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from caffe.upgrade import upgrade_solver

_log = logging.getLogger("caffe")


def upgrade(args: argparse.Namespace) -> None:
    """Upgrade what the command line names."""
    solver = read_text(args.solver_in, caffe_pb2.SolverParameter())
    if not solver.HasField("solver_type"):
        _log.error("File already in latest proto format: %s", args.solver_in)
    upgrade_solver(solver, args.solver_in)
    write_atomic(args.solver_out, text_format.MessageToString(solver).encode())
    _log.info("Wrote upgraded SolverParameter text proto to %s", args.solver_out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    epilog = "Example: upgrade_solver_proto_text old_solver.prototxt solver.prototxt"
    parser = Parser(
        "upgrade_solver_proto_text", description=(__doc__ or "").split("\n")[0], epilog=epilog
    )
    add = parser.add_argument
    add("solver_in", metavar="OLD_SOLVER_PROTO_FILE_IN", help="a solver of any age")
    add("solver_out", metavar="SOLVER_PROTO_FILE_OUT", help="where to write it")
    return run(parser, upgrade, argv)
