"""Print what there is to compute on."""

import argparse
import logging

import torch

from caffe.commands import net_flags
from caffe.commands.common import Parser
from caffe.device import device_name
from caffe.errors import CaffeError

_log = logging.getLogger("caffe")


def add_flags(parser: Parser) -> None:
    parser.epilog = "Example: caffe device_query --gpu 0"
    parser.add_argument("--gpu", metavar="IDS", help="only these GPUs (default: all)")


def run(args: argparse.Namespace) -> int:
    """The command; its exit code."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbers = net_flags.gpus(args.gpu) if args.gpu else list(range(count))
    _log.info("Querying GPUs %s", args.gpu or "all")
    if not numbers:
        _log.info("PyTorch sees no CUDA GPU; there is the %s", device_name())
    for number in numbers:
        if number >= count:
            raise CaffeError(f"--gpu {number}: there is no such GPU, PyTorch sees {count}")
        gpu = torch.cuda.get_device_properties(number)
        for what, value in (
            ("Device id", number),
            ("Major revision number", gpu.major),
            ("Minor revision number", gpu.minor),
            ("Name", gpu.name),
            ("Total global memory", gpu.total_memory),
            ("Warp size", gpu.warp_size),
            ("Number of multiprocessors", gpu.multi_processor_count),
        ):
            _log.info("%-31s%s", f"{what}:", value)
    return 0
