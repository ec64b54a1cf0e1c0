"""List, rename, merge, compare and convert the layers of weights files."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from caffe import weights_edit, weights_file
from caffe.commands.common import Parser, Switch
from caffe.errors import CaffeError
from caffe.weights import LayerWeights, NetWeights

_SUFFIXES = (".caffemodel", ".h5", ".safetensors")
_FILES = f"weights file: {', '.join(_SUFFIXES)}"
_UNLIMITED = 10_000  # columns, where no terminal says how many there are


def add_flags(parser: Parser) -> None:
    parser.epilog = (
        "Example: caffe weights list vgg16.caffemodel. `caffe weights ACTION --help` has one for "
        "each action"
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def add(work: Callable[[argparse.Namespace], int | None], example: str) -> Parser:
        name = work.__name__.removeprefix("_")
        text = (work.__doc__ or "").partition("\n")[0]
        example = f"Example: caffe weights {name} {example}"
        action = actions.add_parser(name, help=text, description=text, epilog=example)
        action.set_defaults(work=work)
        return action

    action = add(_list, "vgg16.caffemodel")
    action.add_argument("file", help=_FILES)
    _add_rename_flags(add(_rename, "vgg16.caffemodel teacher.caffemodel 'conv*=teacher_conv*'"))
    example = "wsddn.caffemodel student.caffemodel stage1.caffemodel --prefix teacher_,"
    _add_merge_flags(add(_merge, example))
    action = add(_diff, "a.caffemodel b.caffemodel.h5 --tolerance 1e-6")
    action.add_argument("file", help=_FILES)
    action.add_argument("other", help="what to compare it with")
    action.add_argument(
        "--tolerance", type=float, default=0.0, help="largest difference to accept (default: 0)"
    )
    action = add(_convert, "vgg16.caffemodel vgg16.safetensors")
    action.add_argument("file", help=_FILES)
    _add_output(action)


def _add_rename_flags(action: Parser) -> None:
    action.add_argument("file", help=_FILES)
    _add_output(action)
    action.add_argument(
        "rules",
        metavar="OLD=NEW",
        nargs="+",
        help="layers called OLD, which may hold * and ?, are called NEW, in which each * is what "
        "the next * or ? of OLD was; the first rule that fits counts",
    )
    action.add_argument(
        "--regex", action=Switch, help=r"OLD is a regular expression, NEW may hold \1, \2, ..."
    )


def _add_merge_flags(action: Parser) -> None:
    action.add_argument("files", nargs="+", metavar="file", help=f"{_FILES}; later ones win")
    _add_output(action)
    action.add_argument(
        "--prefix", metavar="A,B,...", help="put these in front of the layers' names, one each file"
    )


def _add_output(action: Parser) -> None:
    action.add_argument("out", help="file to write; its suffix says the format")
    action.add_argument("--force", action=Switch, help="replace OUT if it is there already")


def run(args: argparse.Namespace) -> int:
    """The command; its exit code."""
    return args.work(args) or 0


def _check_output(args: argparse.Namespace) -> None:
    """Before anything is read, so that a typing error shows at once."""
    if Path(args.out).suffix not in _SUFFIXES:
        raise CaffeError(f"{args.out}: expected a name that ends in {', '.join(_SUFFIXES)}")
    if os.path.exists(args.out) and not args.force:
        raise CaffeError(f"{args.out}: is there already; give --force to replace it")


def _write(args: argparse.Namespace, weights: NetWeights) -> None:
    weights_file.write(args.out, weights)
    count = sum(bool(layer.blobs) for layer in weights.layers)
    print(f"{args.out}: {count} layers with weights")


def _show(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_UNLIMITED)
    console.print(table)


def _means(layer: LayerWeights) -> str:
    """Of the absolute values, blob by blob."""
    arrays = [np.abs(blob, dtype=np.float64) for blob in layer.blobs if blob is not None]
    return ", ".join(f"{array.mean():.4g}" if array.size else "nothing" for array in arrays)


def _list(args: argparse.Namespace) -> None:
    """Print each layer's name, type, blobs, count of numbers and their mean absolute values."""
    layers = [layer for layer in weights_file.read(args.file).layers if layer.blobs]
    table = Table("layer", "type", "blobs", "numbers", "mean |w|", title=escape(args.file))
    total = 0
    for layer in layers:
        shapes = ["shared" if blob is None else str(blob.shape) for blob in layer.blobs]
        count = sum(blob.size for blob in layer.blobs if blob is not None)
        name, kind = escape(layer.name), escape(layer.type)
        table.add_row(name, kind, " ".join(shapes), f"{count:,}", _means(layer))
        total += count
    table.add_row(f"{len(layers)} layers", "", "", f"{total:,}", "")
    _show(table)


def _rename(args: argparse.Namespace) -> None:
    """Write the file anew with other names of layers."""
    _check_output(args)
    _write(args, weights_edit.rename(weights_file.read(args.file), args.rules, args.regex))


def _merge(args: argparse.Namespace) -> None:
    """Write the layers of several files into one; of equal names the last file's counts."""
    _check_output(args)
    prefixes = args.prefix.split(",") if args.prefix is not None else [""] * len(args.files)
    if len(prefixes) != len(args.files):
        raise CaffeError(
            f"--prefix: expected {len(args.files)} of them, one each file and separated by commas, "
            f"got {len(prefixes)}"
        )
    nets = [weights_file.read(file) for file in args.files]
    merged, replaced = weights_edit.merge(nets, prefixes)
    _write(args, merged)
    if replaced:
        print(f"Replaced by a later file's: {', '.join(replaced)}")


def _diff(args: argparse.Namespace) -> int:
    """Print the largest difference of each layer of two files; exit code 1 if one is too large."""
    one, two = (weights_file.read(file) for file in (args.file, args.other))
    table = Table("layer", "largest difference", "")
    worst = 0
    for name, largest, words in weights_edit.differences(one, two):
        fine = largest <= args.tolerance
        worst += not fine
        table.add_row(escape(name), words or f"{largest:.4g}", "" if fine else "differs")
    _show(table)
    print(f"{worst} of {table.row_count} layers differ by more than {args.tolerance:g}")
    return int(worst > 0)


def _convert(args: argparse.Namespace) -> None:
    """Write the file anew in the format that the other name's suffix says."""
    _check_output(args)
    _write(args, weights_file.read(args.file))
