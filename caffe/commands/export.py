"""Write a net for other programs: ONNX, TorchScript, or its weights as safetensors."""

import argparse
import os
from importlib.util import find_spec

import numpy as np

from caffe import safetensors_file, weights, weights_file
from caffe.commands import net_flags
from caffe.commands.common import Parser, Switch
from caffe.errors import CaffeError
from caffe.export import onnx_model, torchscript
from caffe.export.verify import differences, examples
from caffe.files import write_atomic
from caffe.net import Net
from caffe.proto import caffe_pb2

_FORMATS = ("onnx", "safetensors", "torchscript")


def add_flags(parser: Parser) -> None:
    parser.epilog = (
        "Example: caffe export --model deploy.prototxt --weights w.caffemodel --to onnx net.onnx. "
        "ONNX needs the packages onnx and onnxruntime: pip install -e '.[export]'. Which layer "
        "types go: docs/layers.md"
    )
    parser.add_argument("--model", metavar="PROTOTXT", required=True, help="the net, in phase TEST")
    net_flags.add(parser)
    parser.add_argument("--to", choices=_FORMATS, required=True, help="format of the file")
    parser.add_argument("out", help="file to write")
    parser.add_argument("--force", action=Switch, help="replace OUT if it is there already")
    parser.add_argument(
        "--verify",
        action=Switch,
        default=True,
        help="run the file on the CPU and compare it with the net before it is written (default)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="X",
        help="largest difference to accept, as a part of the output's largest number "
        "(default: 1e-5)",
    )


def run(args: argparse.Namespace) -> int:
    """The command; its exit code."""
    if os.path.exists(args.out) and not args.force:
        raise CaffeError(f"{args.out}: is there already; give --force to replace it")
    net = _net(args)
    if args.to == "safetensors":
        safetensors_file.write(args.out, weights.of_net(net._layers, net.name))
    else:
        write_atomic(args.out, _content(args, net))
    print(f"{args.out}: {os.path.getsize(args.out):,} bytes")
    return 0


def _net(args: argparse.Namespace) -> Net:
    """The net with its weights, all of them."""
    net = Net(args.model, caffe_pb2.TEST, level=args.level or 0, stages=net_flags.stages(args))
    files = [path.strip() for path in (args.weights or "").split(",") if path.strip()]
    given: set[str] = set()
    for path in files:
        net.copy_from(path)
        given |= {layer.name for layer in weights_file.read(path).layers if layer.blobs}
    missing = [layer.name for layer in net._layers if layer.blobs and layer.name not in given]
    if missing:
        raise CaffeError(
            f"--weights {args.weights or '(none)'}: nothing there for {weights.listed(missing)}; "
            "what would be exported are random numbers"
        )
    return net


def _content(args: argparse.Namespace, net: Net) -> bytes:
    """The file's content, compared with the net."""
    if args.to == "onnx":
        content, runtime = onnx_model.model(net), "onnxruntime"
    else:
        content, runtime = torchscript.script(net, examples(net, seed=0)), "torch"
    if not args.verify:
        return content
    if find_spec(runtime) is None:
        print(f"not compared with the net: the Python package {runtime} is not installed")
        return content
    inputs = examples(net, seed=1)  # others than a trace may have kept
    got = (onnx_model if args.to == "onnx" else torchscript).run(content, inputs)
    empty = [name for name, values in got.items() if np.size(values) and np.isnan(values).all()]
    if empty:
        raise CaffeError(
            f'net "{net.name}": {", ".join(empty)}: nothing but NaN on random inputs, so that '
            "there is nothing to compare; nothing was written. Look at the weights, or --noverify"
        )
    found = differences(net, inputs, got)
    for name, difference in found.items():
        print(f"{name}: {runtime} differs by {difference:.1e}")
    wrong = [f"{name} by {found[name]:.1e}" for name in found if found[name] > args.tolerance]
    if wrong:
        raise CaffeError(
            f'net "{net.name}": {runtime} gives other numbers ({", ".join(wrong)}); nothing was '
            "written. Give a larger --tolerance, or --noverify"
        )
    return content
