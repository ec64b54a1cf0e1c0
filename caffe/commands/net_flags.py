"""The flags that `caffe`'s commands share: --gpu, and what chooses a net and its layers."""

import argparse
import logging

import torch

from caffe import launch
from caffe.commands.common import Parser
from caffe.device import device_name
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.precision import PRECISIONS, set_precision

_log = logging.getLogger("caffe")


def add(parser: Parser) -> None:
    """--weights, --level and --stage."""
    add_flag = parser.add_argument
    add_flag("--weights", metavar="FILES", help="load these .caffemodel files, a comma between")
    add_flag("--level", type=int, help="keep the layers of this level of the net")
    add_flag("--stage", metavar="NAMES", help="stages of the net, a comma between")


def add_precision(parser: Parser) -> None:
    """--precision."""
    text = "compute in fp32 (default), tf32, bf16 or fp16; parameters and files stay float32"
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help=text)


def add_model(parser: Parser) -> None:
    """--model, --iterations and --gpu for one GPU, and those of `add`."""
    parser.add_argument("--model", metavar="PROTOTXT", required=True, help="the net")
    parser.add_argument(
        "--iterations", type=int, default=50, metavar="N", help="forward passes (default: 50)"
    )
    parser.add_argument("--gpu", metavar="ID", help="compute on this GPU (default: the CPU)")
    add(parser)
    add_precision(parser)


def gpus(given: str | None) -> list[int]:
    """The numbers in --gpu, [] without one. CaffeError if they are none."""
    if not given:
        return []
    if given == "all":
        if not torch.cuda.is_available():
            raise CaffeError("--gpu all: PyTorch sees no CUDA GPU; check nvidia-smi")
        return list(range(torch.cuda.device_count()))
    numbers = [number.strip() for number in given.split(",")]
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise CaffeError(f'--gpu "{given}": expected numbers of GPUs, like 0 or 0,1, or "all"')
    return [int(number) for number in numbers]


def stages(args: argparse.Namespace) -> list[str]:
    """The names in --stage."""
    return [name.strip() for name in (args.stage or "").split(",") if name.strip()]


def net(args: argparse.Namespace, phase: int) -> Net:
    """The net of --model, with its --weights, on its --gpu."""
    if args.iterations < 1:
        raise CaffeError(f"--iterations: expected at least 1, got {args.iterations}")
    numbers = gpus(args.gpu)
    if len(numbers) > 1:
        raise CaffeError(f'--gpu "{args.gpu}": expected one GPU; only `caffe train` takes several')
    set_precision(args.precision)
    launch.choose_device(numbers[0] if numbers else None)
    _log.info("%s", f"Use GPU with device ID {numbers[0]}" if numbers else "Use CPU.")
    _log.info("Computing on %s", device_name())
    made = Net(args.model, phase, level=args.level or 0, stages=stages(args))
    for path in filter(None, (args.weights or "").split(",")):
        made.copy_from(path.strip())
    return made
