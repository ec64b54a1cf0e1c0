"""Evaluate classification: mAP and F1 of the student, the teacher and the distilled student.

    python tools/test_cls.py --dataset demo
    python tools/test_cls.py --dataset coco --runs out/coco --set data/coco/test
    python tools/test_cls.py --dataset demo --model models/demo/student/test.prototxt \\
        --weights out/demo/seed1/stage2/stage2_iter_900.caffemodel --name "S-Cls (w/)"

Without --weights it looks below the run folder for seed<k>/student, seed<k>/wsddn and
seed<k>/stage2 and takes the last snapshot of each. Predictions are kept next to the snapshots, so a
second call, with other conventions for instance, runs no net.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import metrics
import numpy as np
import table
from errors import USER_ERRORS, UserError
from files import write_atomically
from predictions import predictions
from rich.console import Console
from run_files import last_weights

import caffe

# row of the table, folder of its snapshots, folder of its net below models/<dataset>
STAGES = (
    (table.STUDENT, "student", "student"),
    (table.TEACHER, "wsddn", "wsddn"),
    (table.DISTILLED, "stage2", "student"),
)


@dataclass(frozen=True)
class Candidate:
    """A snapshot to evaluate: its row and seed, its net (a test prototxt) and its weights."""

    row: str
    seed: int
    model: pathlib.Path
    weights: pathlib.Path


def seed_folders(runs: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The folders seed<k> below the run folder, by k."""
    found = ((re.fullmatch(r"seed(\d+)", path.name), path) for path in runs.glob("seed*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def trained(folder: pathlib.Path) -> bool:
    """Whether a stage left a snapshot."""
    return any(folder.glob("*_iter_*.caffemodel"))


def find_candidates(runs: pathlib.Path, models: pathlib.Path) -> list[Candidate]:
    """The last snapshot of every stage and seed, rows in the table's order.

    UserError if a seed lacks a stage that another seed has (the means would not compare), or if
    there is no snapshot at all.
    """
    seeds = seed_folders(runs)
    found = []
    for row, stage, model in STAGES:
        if not any(trained(folder / stage) for _, folder in seeds):
            continue
        net = models / model / "test.prototxt"
        found += [Candidate(row, n, net, last_weights(folder / stage)) for n, folder in seeds]
    if not found:
        wanted = f"{runs}/seed<k>/{{{','.join(stage for _, stage, _ in STAGES)}}}"
        raise UserError(f"no snapshot *_iter_<n>.caffemodel in {wanted}; train first")
    return found


def named_candidates(
    models: Sequence[str], weights: Sequence[str], names: Sequence[str]
) -> list[Candidate]:
    """Candidates from --model, --weights and --name; weights of one name count as its seeds."""
    if not len(models) == len(weights) == len(names):
        raise UserError(
            "--model, --weights and --name belong together: "
            f"got {len(models)}, {len(weights)} and {len(names)} of them"
        )
    return [
        Candidate(name, names[:place].count(name), pathlib.Path(model), pathlib.Path(path))
        for place, (model, path, name) in enumerate(zip(models, weights, names, strict=True))
    ]


def evaluate_run(
    candidate: Candidate, scores: np.ndarray, labels: np.ndarray, rules: metrics.Conventions
) -> table.Run:
    """The table's columns for one snapshot; scores (N,K), labels (N,K)."""
    return table.Run(
        row=candidate.row,
        seed=candidate.seed,
        values=metrics.evaluate(scores, labels, rules),
        images=len(labels),
        classes=labels.shape[1],
        classes_counted=metrics.counted_classes(labels),
        weights=candidate.weights.as_posix(),
    )


def evaluate_all(
    candidates: Iterable[Candidate],
    rules: metrics.Conventions,
    folder: str | None,
    batch_size: int | None,
) -> list[table.Run]:
    """Run (or reuse) the predictions of every candidate and compute its columns."""
    runs = []
    for candidate in candidates:
        title = f"{candidate.row} seed {candidate.seed}"
        scores, labels = predictions(candidate.model, candidate.weights, folder, batch_size, title)
        runs.append(evaluate_run(candidate, scores, labels, rules))
    return runs


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """The options that test_cls.py and report.py share."""
    parser.add_argument(
        "--dataset", default="demo", help="demo, coco, nuswide or voc2007 (default: %(default)s)"
    )
    parser.add_argument("--runs", help="run folder with seed<k>/ (default: out/<dataset>)")
    parser.add_argument(
        "--set", dest="folder", help="prepared test set (default: the one the test net names)"
    )
    parser.add_argument("--batch-size", type=int, help="images per forward pass")
    parser.add_argument("--threshold", type=float, default=0.5, help="(default: %(default)s)")
    parser.add_argument(
        "--top-k-rule", choices=metrics.TOP_RULES, default="threshold",
        help="Top-3: only labels that reach the threshold, or always three",
    )  # fmt: skip
    parser.add_argument(
        "--f1c-rule", choices=metrics.F1C_RULES, default="mean",
        help="F1-C: mean of the classes' F1, or 2 CP CR / (CP + CR)",
    )  # fmt: skip
    parser.add_argument(
        "--ap", choices=metrics.AP_RULES, default="voc2012", help="interpolated AP or plain"
    )
    parser.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")


def set_device(gpu: int | None) -> None:
    """Run nets on this GPU, or on the CPU."""
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


def conventions(options: argparse.Namespace) -> metrics.Conventions:
    """The conventions that the options ask for."""
    return metrics.Conventions(options.threshold, options.ap, options.top_k_rule, options.f1c_rule)


def parser() -> argparse.ArgumentParser:
    """The command line of test_cls.py."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_evaluation_options(made)
    for name in ("model", "weights", "name"):
        made.add_argument(
            f"--{name}", action="append", default=[],
            help=f"{name} of one row, repeatable; the three go together",
        )  # fmt: skip
    made.add_argument("--json", help="(default: <runs>/table.json)")
    made.add_argument("--csv", help="(default: <runs>/table.csv)")
    return made


def run(options: argparse.Namespace, console: Console) -> dict:
    """Evaluate, print, write JSON and CSV; returns the table."""
    set_device(options.gpu)
    folder = pathlib.Path(options.runs or f"out/{options.dataset}")
    if options.model or options.weights or options.name:
        candidates = named_candidates(options.model, options.weights, options.name)
    else:
        candidates = find_candidates(folder, pathlib.Path("models", options.dataset))
    rules = conventions(options)
    runs = evaluate_all(candidates, rules, options.folder, options.batch_size)
    result = table.build_table(options.dataset, runs, rules)
    table.print_table(result, console)
    for path, text in (
        (pathlib.Path(options.json or folder / "table.json"), table.json_text(result)),
        (pathlib.Path(options.csv or folder / "table.csv"), table.csv_text(result)),
    ):
        write_atomically(path, text.encode())
        console.print(f"  wrote {path}", style="dim", highlight=False)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    try:
        run(options, Console())
    except USER_ERRORS as error:
        print(f"test_cls.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
