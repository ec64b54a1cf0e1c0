"""The `caffe` command: train, test, time, device_query, with the original command's flags."""

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

import caffe
from caffe import solver_param
from caffe.device import current_device, device_name
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.solver import get_solver, log_outputs, mean_outputs

_log = logging.getLogger("caffe")
# glog's line, which scripts that read Caffe's logs expect.
_LINE = (
    "%(levelname).1s%(asctime)s.%(msecs)03d000 %(process)5d %(filename)s:%(lineno)d] %(message)s"
)

_EPILOG = (
    "Paths inside a solver or net are relative to the working directory. While training, Ctrl-C "
    "writes a snapshot and stops (exit code 130); `kill -HUP` writes one and goes on. Resume with "
    "--snapshot."
)


def _choose_device(gpu: str | None) -> None:
    """GPU `gpu` if one was named, else the CPU. CaffeError if there is no such GPU."""
    if gpu is None:
        caffe.set_mode_cpu()
        return
    if not gpu.isdigit():
        raise CaffeError(f'--gpu "{gpu}": expected the number of one GPU, from 0')
    caffe.set_mode_gpu()
    caffe.set_device(int(gpu))


def _net(args: argparse.Namespace, phase: int) -> caffe.Net:
    if args.iterations < 1:
        raise CaffeError(f"--iterations: expected at least 1, got {args.iterations}")
    _choose_device(args.gpu)
    stages = args.stage.split(",") if args.stage else None
    net = caffe.Net(args.model, phase, level=args.level or 0, stages=stages)
    for path in filter(None, (args.weights or "").split(",")):
        net.copy_from(path.strip())
    return net


def train(args: argparse.Namespace) -> int:
    """Train a net as its solver file says."""
    if args.snapshot and args.weights:
        raise CaffeError("give --snapshot to resume or --weights to finetune, not both")
    param = solver_param.read(args.solver)
    wants_gpu = param.solver_mode == caffe_pb2.SolverParameter.GPU and torch.cuda.is_available()
    _choose_device(args.gpu or (str(param.device_id) if wants_gpu else None))
    if args.level is not None:
        param.train_state.level = args.level
    if args.stage:
        param.train_state.stage[:] = args.stage.split(",")
    if args.weights:
        del param.weights[:]
        param.weights.append(args.weights)
    _log.info("Computing on %s", device_name())
    solver = get_solver(param)
    solver.solve(args.snapshot)
    return 130 if solver.stopped else 0


def test(args: argparse.Namespace) -> int:
    """Score a net: its outputs averaged over some batches."""
    net = _net(args, caffe.TEST)
    log_outputs(net, mean_outputs(net, args.iterations))
    return 0


def _milliseconds(work: Callable[[], object]) -> float:
    if current_device().type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if current_device().type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def time_net(args: argparse.Namespace) -> int:
    """Print the milliseconds of each layer and of whole passes, averaged over some of them."""
    net = _net(args, caffe_pb2.Phase.Value(args.phase))
    layers = range(len(net.layers))
    forward, backward = [0.0] * len(layers), [0.0] * len(layers)
    whole, last = 0.0, len(layers) - 1

    def both() -> None:
        net._forward(0, last)
        net._backward(last, 0)

    both()  # the first pass also allocates and picks algorithms
    # pycaffe's _forward and _backward: the public calls would time copies to numpy arrays, too.
    for _ in range(args.iterations):
        for i in layers:
            forward[i] += _milliseconds(partial(net._forward, i, i)) / args.iterations
        for i in reversed(layers):
            backward[i] += _milliseconds(partial(net._backward, i, i)) / args.iterations
        net.clear_param_diffs()
        whole += _milliseconds(both) / args.iterations
    _log.info("Average time per layer on %s:", device_name())
    for i in layers:
        name = net.layers[i].name
        _log.info("%20s\tforward: %.4g ms, backward: %.4g ms.", name, forward[i], backward[i])
    _log.info("Average Forward pass: %.4g ms.", sum(forward))
    _log.info("Average Backward pass: %.4g ms.", sum(backward))
    _log.info("Average Forward-Backward: %.4g ms.", whole)
    return 0


def device_query(args: argparse.Namespace) -> int:
    """Print what there is to compute on."""
    _log.info("%s", device_name())
    if not torch.cuda.is_available():
        _log.info("PyTorch sees no CUDA GPU")
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        _log.info(
            "GPU %d: %s, compute capability %d.%d, %.1f GiB, %d multiprocessors",
            *(index, gpu.name, gpu.major, gpu.minor),
            *(gpu.total_memory / 2**30, gpu.multi_processor_count),
        )
    return 0


def _add_net_options(parser: argparse.ArgumentParser, weights: str, device: str) -> None:
    parser.add_argument("--weights", metavar="FILES", help=weights)
    parser.add_argument("--gpu", metavar="ID", help=f"compute on this GPU (default: {device})")
    parser.add_argument("--level", type=int, help="keep the layers of this level of the net")
    parser.add_argument("--stage", metavar="NAMES", help="stages of the net, separated by commas")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="PROTOTXT", required=True, help="the net")
    parser.add_argument(
        "--iterations", type=int, default=50, metavar="N", help="forward passes (default: 50)"
    )
    _add_net_options(parser, "load these .caffemodel files, separated by commas", "the CPU")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caffe", description="Train, score and time Caffe nets.", epilog=_EPILOG
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = run.__doc__ or ""
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    command = add("train", train)
    command.add_argument("--solver", metavar="PROTOTXT", required=True, help="what to train, how")
    command.add_argument("--snapshot", metavar="SOLVERSTATE", help="resume from this state")
    weights = "finetune from these .caffemodel files, separated by commas"
    _add_net_options(command, weights, "as solver_mode says")
    _add_model_options(add("test", test))
    command = add("time", time_net)
    command.add_argument("--phase", choices=["TRAIN", "TEST"], default="TRAIN")
    _add_model_options(command)
    add("device_query", device_query)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. A user's mistake is one line on stderr and code 1."""
    given = sys.argv[1:] if argv is None else argv
    # The original command takes its flags with one dash or two.
    args = _parser().parse_args([re.sub(r"^-(?=[a-z]{2})", "--", word) for word in given])
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_LINE, "%m%d %H:%M:%S"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        return args.run(args)
    except CaffeError as error:
        print(f"caffe: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("caffe: interrupted", file=sys.stderr)
        return 130
    finally:
        _log.removeHandler(handler)
