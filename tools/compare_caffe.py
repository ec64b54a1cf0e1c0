"""Run a net in an original Caffe and in this engine, and show where their numbers part.

    python tools/compare_caffe.py --python python3.8 --pythonpath ~/caffe/python \\
        --library-path ~/caffe/build/lib models/imagenet/alexnet/deploy.prototxt alexnet.caffemodel
    python tools/compare_caffe.py --python python3.8 --pythonpath ~/caffe/python \\
        --solver solver.prototxt --steps 5 train_val.prototxt

The original pycaffe runs in a process of its own. Both get the same inputs and weights; compared
are every blob, every gradient and, with --solver, the weights after some steps. For the gradients
each layer of the original starts from this engine's numbers, so that both go back through the same
place. The table begins with the first array, in the order of computing, whose relative difference
exceeds --tolerance; the others follow, largest first. tools/differences.py says what "relative
difference" is.

Inputs are random, unless --inputs gives them; a layer that reads data is replaced by what it
delivers first. Layers that draw random numbers in TRAIN run as in TEST. Layers that the original
lacks run there as the Python layers of python_layers, see tools/rewrite_net.py. Without weights
both start from the same random ones.

Exit code: 0 if all is within the tolerance, 1 if not or if a side could not run, 2 for a wrong
command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import compared_net
import differences
import numpy as np
import record_caffe
import rewrite_net
from compared_net import Compared
from differences import Row
from errors import UserError, exit_code
from files import write_atomically
from google.protobuf import text_format
from options import natural, one_of
from original_caffe import Facts, Original
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from run_files import read_prototxt, write_text

import caffe
from caffe.proto import caffe_pb2


def for_original(compared: Compared, facts: Facts, lacks: Sequence[str]) -> caffe_pb2.NetParameter:
    """The net with the layers that the original lacks, or `lacks` names, as Python layers.

    UserError naming the layers that cannot run there; notes what was rewritten.
    """
    net = caffe_pb2.NetParameter()
    net.CopyFrom(compared.net)
    types = {layer.type for layer in net.layer}
    changed = rewrite_net.rewrite(net, (types - set(facts.types)) | set(lacks))
    if changed:
        compared.notes.append(f"Python layers in the original: {', '.join(changed)}")
    unknown = [f"{la.name} ({la.type})" for la in net.layer if la.type not in facts.types]
    if unknown:
        raise UserError(
            f"the original lacks the types of layers {', '.join(unknown)}, and python_layers has "
            "no twin that it could run; leave them out, or build Caffe with WITH_PYTHON_LAYER=1 "
            "if it is the type Python"
        )
    for layer in net.layer:
        ours = layer.python_param.module.startswith("python_layers.")
        if ours and not facts.runs_our_layers:
            raise UserError(
                f'layer "{layer.name}": runs there as a Python layer of python_layers, which needs '
                f"Python 3.8; the original runs in {facts.python}"
            )
        fields = list(compared_net.unknown_fields(layer, facts.messages, ""))
        if fields:
            raise UserError(
                f'layer "{layer.name}" ({layer.type}): the original\'s caffe.proto does not have '
                f"{', '.join(fields)}; leave them out"
            )
    return net


def solver_text(path: Path, net: Path, facts: Facts) -> str:
    """The solver's text for this net alone: nothing is tested, shown or saved."""
    solver = read_prototxt(path, caffe_pb2.SolverParameter())
    for field in ("train_net", "net_param", "train_net_param", "test_net", "test_net_param",
                  "test_iter", "test_interval", "test_state", "train_state", "test_initialization",
                  "snapshot", "snapshot_prefix", "display", "debug_info", "solver_mode",
                  "device_id", "weights", "layer_wise_reduce"):  # fmt: skip
        solver.ClearField(field)
    solver.net, solver.snapshot_after_train = str(net), False
    solver.snapshot_prefix = str(net.parent / "snapshot")
    solver.solver_mode = caffe_pb2.SolverParameter.CPU
    unknown = list(compared_net.unknown_fields(solver, facts.messages, ""))
    if unknown:
        raise UserError(f"{path}: the original's caffe.proto does not have {', '.join(unknown)}")
    return text_format.MessageToString(solver)


def write_job(
    folder: Path, net: caffe_pb2.NetParameter, shared: dict, facts: Facts, args: argparse.Namespace
) -> Path:
    """job.json of one side, as tools/record_caffe.py reads it, and the files that it names."""
    write_text(folder / "net.prototxt", text_format.MessageToString(net))
    job = {**shared, "net": str(folder / "net.prototxt"), "solver": None}
    if args.solver:
        job["solver"] = str(folder / "solver.prototxt")
        write_text(Path(job["solver"]), solver_text(args.solver, Path(job["net"]), facts))
    path = folder / "job.json"
    write_text(path, json.dumps(job))
    return path


def ask(original: Original) -> Facts:
    """What the original is; UserError if another caffe than that of --pythonpath answers."""
    facts = original.facts()
    if original.pythonpath and is_this_engine(facts):
        raise UserError(
            f"--python {original.python}: imports this engine and not the caffe of --pythonpath "
            f"{original.pythonpath}; give a Python in which this engine is not installed"
        )
    return facts


def is_this_engine(facts: Facts) -> bool:
    return Path(facts.file).resolve() == Path(caffe.__file__).resolve()


def shared_job(compared: Compared, args: argparse.Namespace, folder: Path) -> dict:
    """What the jobs of both sides have in common."""
    start = None
    if not args.weights:
        compared.notes.append("no weights file: both start from the same random weights")
        start = str(folder / "start")
        compared_net.write_random_weights(compared.net, Path(start), args.seed)
    return {
        "phase": args.phase,
        "weights": str(args.weights) if args.weights else None,
        "start": start,
        "inputs": compared_net.write_arrays(folder / "inputs", compared.inputs),
        "diffs": compared_net.write_arrays(folder / "diffs", compared.diffs),
        "tops": {layer.name: list(layer.top) for layer in compared.net.layer},
        "follow": None,
        "steps": args.steps,
        "gpu": None,
    }


def run(args: argparse.Namespace, folder: Path) -> tuple[Facts, Compared, list[Row]]:
    """Let both sides compute: what the original is, the net, the rows in the order of computing."""
    given = read_inputs(args.inputs) if args.inputs else {}
    original = Original(args.python, args.pythonpath, args.library_path, args.timeout, folder)
    facts = ask(original)
    compared = compared_net.prepare(args.net, args.phase, given, args.seed)
    if is_this_engine(facts):
        compared.notes.append("the original is this engine itself, since no --pythonpath says more")
    if args.solver and compared.diffs:
        raise UserError(f"{args.net}: a solver needs a loss in phase TRAIN; the net has none")
    other = for_original(compared, facts, args.lacks)
    shared = shared_job(compared, args, folder)
    ours, theirs = folder / "ours", folder / "theirs"
    ours.mkdir()
    job = write_job(folder / "here", compared.net, shared, facts, args)
    record_caffe.record(json.loads(job.read_text(encoding="utf-8")), str(ours))
    shared |= {"start": str(ours), "follow": str(ours), "gpu": args.gpu}
    original.record(write_job(folder / "there", other, shared, facts, args), theirs)
    return facts, compared, differences.compare(ours, theirs, args.floor)


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; UserError if it is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, AttributeError, TypeError):
        raise UserError(
            f"{path}: expected an .npz file of plain arrays; np.savez makes one"
        ) from None


def layers_of(row: Row, net: caffe_pb2.NetParameter) -> str:
    """The layers that compute it: a blob's makers, its gradient's readers, a weight's own."""
    if row.kind == "data":
        return ", ".join(layer.name for layer in net.layer if row.name in layer.top)
    if row.kind == "gradient":
        return ", ".join(layer.name for layer in net.layer if row.name in layer.bottom)
    return row.name.rpartition("[")[0]


def show(rows: list[Row], net: caffe_pb2.NetParameter, args: argparse.Namespace) -> None:
    """The table; `rows` begin with the first that departs, if one does."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("compared", no_wrap=True)
    for title in ("of", "computed by", "shape"):
        table.add_column(title, overflow="fold")
    for title in ("largest", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows[: args.rows]:
        above = differences.is_above(row, limits(args))
        cells = (row.kind, row.name, layers_of(row, net), "x".join(map(str, row.shape)) or "1")
        relative = "" if row.relative is None else f"{row.relative:.1e}"
        note = f" ({row.note})" if row.note else ""
        table.add_row(
            *map(escape, cells),
            f"{row.largest:.2e}",
            relative + note,
            style="bold" if above else "",
        )
    Console().print(table)
    if len(rows) > args.rows:
        print(f"and {len(rows) - args.rows} more with smaller differences (--rows, --json)")


def verdict(
    first: Row | None, rows: list[Row], net: caffe_pb2.NetParameter, allowed: dict[str, float]
) -> str:
    """The last line."""
    if first is None:
        worst = max((row.relative for row in rows if row.relative is not None), default=0.0)
        return f"all {len(rows)} agree: largest relative difference {worst:.1e}"
    above = sum(differences.is_above(row, allowed) for row in rows)
    layers = layers_of(first, net)
    return (
        f"{above} of {len(rows)} are above what is allowed ({allowed[first.kind]:g} for "
        f"{first.kind}); the first to depart is {first.kind} of "
        f"{first.name}" + (f", computed by {layers}" if layers else "")
    )


def as_json(facts: Facts, compared: Compared, rows: list[Row], first: Row | None, args) -> bytes:
    """All rows and what they are of; an infinite difference is null, for JSON has none."""
    records = []
    for row in rows:
        record = {**dataclasses.asdict(row), "computed_by": layers_of(row, compared.net)}
        record["above"] = differences.is_above(row, limits(args))
        if row.relative is not None and not math.isfinite(row.relative):
            record["relative"] = None
        records.append(record)
    content = {
        "net": str(args.net),
        "weights": str(args.weights) if args.weights else None,
        "phase": args.phase,
        "seed": args.seed,
        "allowed": limits(args),
        "floor": args.floor,
        "steps": args.steps if args.solver else 0,
        "original": {"caffe": facts.file, "python": facts.python},
        "notes": compared.notes,
        "agree": first is None,
        "rows": records,
    }
    return json.dumps(content, indent=1).encode()


def limits(args: argparse.Namespace) -> dict[str, float]:
    """The relative difference that each kind of array may have."""
    return dict.fromkeys(differences.KINDS, args.tolerance) | {
        "weights after": args.steps_tolerance
    }


def compare(args: argparse.Namespace) -> bool:
    """Compare, print, write; whether all agree."""
    with tempfile.TemporaryDirectory(prefix="compare_caffe_") as folder:
        facts, compared, rows = run(args, Path(folder))
    first = differences.first_above(rows, limits(args))
    rows = differences.sort(rows, first)
    print(f"original: {facts.file}, Python {facts.python}, {len(facts.types)} layer types")
    for note in compared.notes:
        print(note)
    print()
    show(rows, compared.net, args)
    print(verdict(first, rows, compared.net, limits(args)))
    if args.json:
        write_atomically(args.json, as_json(facts, compared, rows, first, args))
    return first is None


def positive(text: str) -> float:
    """An option's number above 0; argparse answers anything else in one line."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def parser() -> argparse.ArgumentParser:
    make = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    make.add_argument("net", type=Path, metavar="net.prototxt")
    make.add_argument("weights", type=Path, nargs="?", metavar="weights.caffemodel")
    there = make.add_argument_group("the original")
    there.add_argument("--python", required=True, metavar="PATH", help="the Python it is built for")
    there.add_argument("--pythonpath", default="", metavar="PATH", help="where its pycaffe is")
    there.add_argument(
        "--library-path", default="", metavar="PATH", help="where libraries are that it loads"
    )
    there.add_argument("--gpu", type=int, metavar="ID", help="let it compute there (the CPU)")
    there.add_argument(
        "--lacks",
        nargs="+",
        type=one_of(tuple(rewrite_net.TWINS)),
        default=[],
        metavar="TYPE",
        help="run these types as Python layers even if it has them, for example ROIPooling "
        "where its own has no backward pass on the CPU",
    )
    there.add_argument(
        "--timeout",
        type=positive,
        default=600.0,
        metavar="S",
        help="seconds that it may take (600)",
    )
    what = make.add_argument_group("what to compare")
    what.add_argument("--phase", choices=("TRAIN", "TEST"), help="(TEST; with --solver TRAIN)")
    what.add_argument("--inputs", type=Path, metavar="FILE.npz", help="arrays by blob name")
    what.add_argument("--seed", type=int, default=1, help="of random inputs and weights (1)")
    what.add_argument("--solver", type=Path, metavar="solver.prototxt", help="train with it")
    what.add_argument("--steps", type=natural, default=1, metavar="N", help="steps of it (1)")
    what.add_argument(
        "--tolerance", type=positive, default=1e-4, help="largest relative difference (1e-4)"
    )
    what.add_argument(
        "--steps-tolerance", type=positive, default=1e-3, help="for weights after steps (1e-3)"
    )
    what.add_argument(
        "--floor",
        type=positive,
        default=1e-6,
        help="arrays whose largest number is less are taken relative to it (1e-6)",
    )
    shown = make.add_argument_group("what to show")
    shown.add_argument("--rows", type=natural, default=20, metavar="N", help="of the table (20)")
    shown.add_argument("--json", type=Path, metavar="FILE", help="also write all rows there")
    return make


def main(arguments: Sequence[str] | None = None) -> int:
    make = parser()
    args = make.parse_args(arguments)
    if args.solver and args.phase == "TEST":
        make.error("--phase TEST does not go with --solver, which trains")
    args.phase = args.phase or ("TRAIN" if args.solver else "TEST")
    logging.getLogger("caffe").addHandler(logging.NullHandler())
    agree = []
    code = exit_code("compare_caffe.py", lambda: agree.append(compare(args)))
    return code or int(agree != [True])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which ends the other process, too
    sys.exit(main())
