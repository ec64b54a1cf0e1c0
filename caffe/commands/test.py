"""Score a net: its outputs averaged over some batches."""

import argparse
import logging

from caffe import scoring
from caffe.commands import net_flags
from caffe.commands.common import Parser
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


def add_flags(parser: Parser) -> None:
    parser.epilog = (
        "Example: caffe test --model test.prototxt --weights w.caffemodel --iterations 100"
    )
    net_flags.add_model(parser)


def run(args: argparse.Namespace) -> int:
    """The command; its exit code."""
    net = net_flags.net(args, caffe_pb2.TEST)
    _log.info("Running for %d iterations.", args.iterations)
    mean = scoring.Mean()
    for index, (loss, outputs) in enumerate(scoring.batches(net, args.iterations)):
        mean.add(loss, outputs)
        for name, array in outputs.items():
            for value in array.ravel():
                _log.info("Batch %d, %s = %g", index, name, value)
    _log.info("Loss: %g", mean.loss)
    for line in scoring.output_lines(net, mean.outputs):
        _log.info("%s", line)
    return 0
