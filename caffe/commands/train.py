"""Train a net as its solver file says."""

import argparse
import logging

import torch

from caffe import launch, solver_param
from caffe.commands import net_flags
from caffe.commands.common import Parser, Switch
from caffe.device import peak_memory
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.signals import Effect, SignalRequests

_log = logging.getLogger("caffe")
_EFFECTS = {"stop": Effect.STOP, "snapshot": Effect.SNAPSHOT, "none": Effect.NONE}


def add_flags(parser: Parser) -> None:
    parser.epilog = "Example: caffe train --solver solver.prototxt --gpu 0"
    add = parser.add_argument
    add("--solver", metavar="PROTOTXT", required=True, help="the solver: what to train and how")
    add("--snapshot", metavar="SOLVERSTATE", help="resume from this state")
    add(
        "--gpu",
        metavar="IDS",
        help="train on this GPU, or on several (0,1 or all) with a process and a batch for each; "
        "default: as solver_mode and device_id say",
    )
    for name, default in (("sigint", "stop"), ("sighup", "snapshot")):
        text = f"what {name.upper()} does: stop, snapshot or none (default: {default})"
        add(f"--{name}_effect", choices=_EFFECTS, default=default, metavar="EFFECT", help=text)
    net_flags.add(parser)
    net_flags.add_precision(parser)
    text = "keep only what leaves each stage and compute it again backward: less memory, slower"
    add("--recompute", action=Switch, help=text)


def _read_solver(args: argparse.Namespace) -> caffe_pb2.SolverParameter:
    if args.snapshot and args.weights:
        raise CaffeError("give --snapshot to resume or --weights to finetune, not both")
    param = solver_param.read(args.solver)
    if args.level is not None:
        param.train_state.level = args.level
    if args.stage:
        param.train_state.stage[:] = net_flags.stages(args)
    if args.weights:
        param.weights[:] = [args.weights]
    return param


def run(args: argparse.Namespace) -> int:
    """The command. As in Caffe a training that a signal stopped has ended well."""
    param = _read_solver(args)
    gpus = net_flags.gpus(args.gpu)
    wants_gpu = param.solver_mode == caffe_pb2.SolverParameter.GPU
    if not gpus and wants_gpu and torch.cuda.is_available():
        gpus = [param.device_id]
    _log.info("%s", f"Using GPUs {', '.join(map(str, gpus))}" if gpus else "Use CPU.")
    if args.snapshot:
        _log.info("Resuming from %s", args.snapshot)
    signals = SignalRequests(_EFFECTS[args.sigint_effect], _EFFECTS[args.sighup_effect])
    options = launch.Options(args.precision, args.recompute)
    launch.train(param, args.snapshot, gpus or [None], signals, options)
    _log.info("Peak memory: %s", peak_memory())
    return 0
