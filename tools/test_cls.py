"""Evaluate classification: mAP and F1 of the student, the teacher, the distilled student, others.

    python tools/test_cls.py --dataset demo
    python tools/test_cls.py --dataset coco nuswide --format latex > tables.tex
    python tools/test_cls.py --dataset coco --convention mlgcn --scales 480 576 672 736 832 --mirror
    python tools/test_cls.py --dataset demo --model models/demo/student/test.prototxt \\
        --weights out/demo/seed1/stage2/stage2_iter_900.caffemodel --name "S-Cls (w/)"
    python tools/test_cls.py --dataset demo --predictions "S-Cls (w/)" stage2.predictions.npy

One table per data set: what was measured, the paper's numbers for these rows, numbers it quotes.
Without --weights it looks below the run folder for seed<k>/student, seed<k>/wsddn, seed<k>/stage2,
<method>/stage2 of other methods of distillation, <backbone>/student and <backbone>/stage2 of other
students, and takes the last snapshot of each. A row of only some of the seeds is shown over
those, which a line under the table says, and has no difference to rows of other seeds.
Predictions are kept next to the snapshots, so a second call, with other conventions for instance,
runs no net; --predictions needs neither net nor weights. table.json and table.csv are always
written into the run folder; --format says what is printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import metrics
import numpy as np
import predictions
import table
from errors import UserError, exit_code
from feeding import ViewPlan
from files import write_atomically
from options import BACKBONES, check_dataset, natural
from rich.console import Console
from run_files import last_weights
from tqdm import tqdm

import caffe

# row of the table, folder of its snapshots, folder of its net below models/<dataset>
STAGES = (
    (table.STUDENT, "student", "student"),
    (table.TEACHER, "wsddn", "wsddn"),
    ("Distillation", "hinton/stage2", "student"),
    ("FitNets", "fitnets/stage2", "student"),
    ("Attention transfer", "attention/stage2", "student"),
    ("As released", "released/stage2", "student"),
    (table.DISTILLED, "stage2", "student"),
    *(
        (f"{row}, {title}", f"{backbone}/{stage}", f"{backbone}/student")
        for backbone, title in BACKBONES.items()
        for row, stage in ((table.STUDENT, "student"), (table.DISTILLED, "stage2"))
    ),
)
FORMATS = ("terminal", "markdown", "latex", "csv", "json")


@dataclass(frozen=True)
class Candidate:
    """What to evaluate: its row and seed, its net (a test prototxt), its weights, the set.

    Without a net, `weights` are kept predictions; without a folder, the net says which set.
    """

    row: str
    seed: int
    model: pathlib.Path | None
    weights: pathlib.Path
    folder: str | None = None


@dataclass(frozen=True)
class Job:
    """One table: the data set's name, the folder it goes to and the rows."""

    dataset: str
    runs: pathlib.Path
    candidates: list[Candidate]


def seed_folders(runs: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The folders seed<k> below the run folder, by k."""
    found = ((re.fullmatch(r"seed(\d+)", path.name), path) for path in runs.glob("seed*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())


def trained(folder: pathlib.Path) -> bool:
    """Whether a stage left a snapshot."""
    return any(folder.glob("*_iter_*.caffemodel"))


def find_candidates(
    runs: pathlib.Path, models: pathlib.Path, set_folder: str | None = None
) -> list[Candidate]:
    """The last snapshot of every stage and seed that has one, rows in the table's order.

    UserError if there is none at all.
    """
    seeds = seed_folders(runs)
    found = [
        Candidate(row, n, models / model / "test.prototxt", last_weights(path / stage), set_folder)
        for row, stage, model in STAGES
        for n, path in seeds
        if trained(path / stage)
    ]
    if not found:
        wanted = f"{runs}/seed<k>/{{{','.join(stage for _, stage, _ in STAGES)}}}"
        raise UserError(f"no snapshot *_iter_<n>.caffemodel in {wanted}; train first")
    return found


def named_candidates(options: argparse.Namespace) -> list[Candidate]:
    """Candidates from --model, --weights, --name and from --predictions, in this order.

    Those of one name (and data set) count as its seeds. UserError unless the three match.
    """
    models, weights, names = options.model, options.weights, options.name
    if not len(models) == len(weights) == len(names):
        raise UserError(
            "--model, --weights and --name belong together: "
            f"got {len(models)}, {len(weights)} and {len(names)} of them"
        )
    paths = [(pathlib.Path(m), pathlib.Path(w)) for m, w in zip(models, weights, strict=True)]
    rows = [
        *(Candidate(name, 0, *pair) for name, pair in zip(names, paths, strict=True)),
        *(Candidate(name, 0, None, pathlib.Path(path)) for name, path in options.predictions),
    ]
    return rows


def counted(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, those of one row numbered from 0 as its seeds."""
    names = [candidate.row for candidate in candidates]
    return [
        dataclasses.replace(candidate, seed=names[:place].count(candidate.row))
        for place, candidate in enumerate(candidates)
    ]


def spread(words: Sequence[str] | None, count: int, option: str) -> list[str | None]:
    """An option's words, one for each of `count` data sets or rows; None where it is not given."""
    words = words or [None]
    if len(words) not in (1, count):
        raise UserError(f"{option}: expected 1 or {count} of them, got {len(words)}")
    return [*words] * (count // len(words))


def plan(options: argparse.Namespace) -> list[Job]:
    """The tables to make: one per data set.

    Rows of the command line go to the data set, or each to its own where as many are named; so do
    the words of --runs and --set. UserError where their numbers do not match.
    """
    rows = named_candidates(options)
    count = len(rows) or len(options.dataset)
    datasets = spread(options.dataset, count, "--dataset")
    for option, words in (("--runs", options.runs), ("--set", options.folder)):
        if not rows and words and len(words) != count:
            raise UserError(f"{option}: expected one per data set ({count}), got {len(words)}")
    folders = spread(options.folder, count, "--set")
    jobs: dict[str, Job] = {}
    for place, runs in enumerate(spread(options.runs, count, "--runs")):
        dataset = datasets[place]
        path = pathlib.Path(runs or f"out/{dataset}")
        job = jobs.setdefault(dataset, Job(dataset, path, []))
        if rows:
            job.candidates.append(dataclasses.replace(rows[place], folder=folders[place]))
        else:
            check_dataset(dataset)
            models = pathlib.Path("models", dataset)
            job.candidates.extend(find_candidates(path, models, folders[place]))
    if not rows:
        return [*jobs.values()]
    return [dataclasses.replace(job, candidates=counted(job.candidates)) for job in jobs.values()]


def read_scores(
    candidate: Candidate, batch_size: int | None, view_plan: ViewPlan | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(scores (N,K), labels (N,K)) of a candidate: kept ones, or its net is run."""
    if candidate.model is None:
        return predictions.saved(candidate.weights, candidate.folder)
    title = f"{candidate.row} seed {candidate.seed}"
    return predictions.predictions(
        candidate.model, candidate.weights, candidate.folder, batch_size, title, view_plan
    )


def evaluate_run(
    candidate: Candidate,
    scores: np.ndarray,
    labels: np.ndarray,
    rules: metrics.Conventions,
    samples: int = 0,
) -> table.Run:
    """The table's columns for one snapshot; scores (N,K), labels (N,K), samples of a bootstrap."""
    return table.Run(
        row=candidate.row,
        seed=candidate.seed,
        values=metrics.evaluate(scores, labels, rules),
        images=len(labels),
        classes=labels.shape[1],
        classes_counted=metrics.counted_classes(labels),
        weights=candidate.weights.as_posix(),
        resamples=metrics.bootstrap(scores, labels, rules.ap, samples),
    )


def evaluate_all(
    candidates: Iterable[Candidate],
    rules: metrics.Conventions,
    batch_size: int | None,
    view_plan: ViewPlan | None = None,
    samples: int = 0,
) -> tuple[list[table.Run], dict[tuple[str, int], np.ndarray], np.ndarray]:
    """(runs, (row, seed) -> scores (N,K), labels (N,K)); runs the nets or reuses their predictions.

    UserError unless all are of the same images: their rows could not be compared.
    """
    runs, found, labels = [], {}, None
    for candidate in tqdm(candidates, "evaluation", unit="net", leave=False):
        scores, own = read_scores(candidate, batch_size, view_plan)
        if labels is not None and not np.array_equal(own, labels):
            raise UserError(
                f"{candidate.row}: evaluated on other images than {runs[0].row}: give one --set, "
                "or each row its own --dataset for a table of its own"
            )
        labels = own
        found[candidate.row, candidate.seed] = scores
        runs.append(evaluate_run(candidate, scores, labels, rules, samples))
    return runs, found, labels


def add_evaluation_options(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """The options that test_cls.py and report.py share; `several` data sets or one."""
    more = {"nargs": "+"} if several else {}
    parser.add_argument(
        "--dataset", default=["demo"] if several else "demo", **more,
        help="folder of its nets below models/ (default: demo)",
    )  # fmt: skip
    parser.add_argument("--runs", **more, help="run folder with seed<k>/ (default: out/<dataset>)")
    parser.add_argument(
        "--set", dest="folder", **more, help="prepared test set (default: the test net's)"
    )
    parser.add_argument("--batch-size", type=int, help="images per forward pass")
    add_convention_options(parser)
    parser.add_argument(
        "--bootstrap", type=whole, default=1000, metavar="N",
        help="resamples of the images for mAP's 95%% interval, 0 for none (default: %(default)s)",
    )  # fmt: skip
    views = parser.add_argument_group("views (default: each image once); p is their mean")
    views.add_argument(
        "--scales", type=natural, nargs="+", default=(), metavar="S",
        help="sizes of the images, such as 480 576 672 736 832",
    )  # fmt: skip
    views.add_argument("--mirror", action="store_true", help="each image also left to right")
    views.add_argument(
        "--crops", type=int, choices=(1, 5, 10), default=1,
        help="5: corners and centre, cut from 8/7 of the size; 10: also mirrored; no teacher's",
    )  # fmt: skip
    parser.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")


def add_convention_options(parser: argparse.ArgumentParser) -> None:
    """--convention and what changes a part of it."""
    rules = parser.add_argument_group("conventions (tools/metrics.py says what each means)")
    rules.add_argument(
        "--convention", choices=metrics.CONVENTIONS, default="srn", help="(default: %(default)s)"
    )
    rules.add_argument(
        "--threshold", type=probability, metavar="P", help="0 to 1, in place of the convention's"
    )
    rules.add_argument(
        "--top-k-rule", choices=metrics.TOP_RULES,
        help="Top-3: only labels that reach the threshold, or always three",
    )  # fmt: skip
    rules.add_argument(
        "--f1c-rule", choices=metrics.F1C_RULES,
        help="F1-C: mean of the classes' F1, or 2 CP CR / (CP + CR)",
    )  # fmt: skip
    rules.add_argument("--ap", choices=metrics.AP_RULES, help="interpolated AP or plain")


def whole(text: str) -> int:
    """An option's whole number from 0 on."""
    return 0 if text == "0" else natural(text)


def probability(text: str) -> float:
    """An option's number from 0 to 1; argparse answers anything else in one line."""
    try:
        if 0 <= float(text) <= 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")


def set_device(gpu: int | None) -> None:
    """Run nets on this GPU, or on the CPU."""
    if gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()


def conventions(options: argparse.Namespace) -> metrics.Conventions:
    """The convention that the options name, with the parts that they change."""
    given = {
        "threshold": options.threshold,
        "ap": options.ap,
        "top_rule": options.top_k_rule,
        "f1c": options.f1c_rule,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(metrics.CONVENTIONS[options.convention], **changed)


def view_plan_of(options: argparse.Namespace) -> ViewPlan:
    """The views that the options ask for."""
    return ViewPlan(tuple(options.scales), options.mirror, options.crops)


def parser() -> argparse.ArgumentParser:
    """The command line of test_cls.py."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_evaluation_options(made, several=True)
    rows = made.add_argument_group("rows of your own, all for one data set or one data set each")
    for name in ("model", "weights", "name"):
        rows.add_argument(
            f"--{name}", action="append", default=[],
            help=f"{name} of one row, repeatable; the three go together",
        )  # fmt: skip
    rows.add_argument(
        "--predictions", action="append", nargs=2, default=[], metavar=("NAME", "FILE"),
        help="a row from kept predictions (.predictions.npy, its .json beside it), repeatable",
    )  # fmt: skip
    made.add_argument("--format", choices=FORMATS, default="terminal", help="what to print")
    made.add_argument("--json", help="of one data set (default: <runs>/table.json)")
    made.add_argument("--csv", help="of one data set (default: <runs>/table.csv)")
    return made


def show(tables: Sequence[dict], style: str) -> None:
    """Print the tables in one of FORMATS; JSON is a list of them."""
    if style == "terminal":
        for result in tables:
            table.print_table(result, Console())
    elif style == "json":
        sys.stdout.write(json.dumps(tables, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        text = {"markdown": table.markdown_text, "latex": table.latex_text, "csv": table.csv_text}
        sys.stdout.write("\n".join(text[style](result) for result in tables))


def run(options: argparse.Namespace) -> list[dict]:
    """Evaluate, print, write JSON and CSV; returns the tables."""
    set_device(options.gpu)
    rules, view_plan = conventions(options), view_plan_of(options)
    if len(set(options.dataset)) > 1 and (options.json or options.csv):
        raise UserError("--json and --csv name the file of one data set; leave them out")
    jobs, tables = plan(options), []
    for job in jobs:
        runs, *_ = evaluate_all(
            job.candidates, rules, options.batch_size, view_plan, options.bootstrap
        )
        tables.append(table.build_table(job.dataset, runs, rules, view_plan.describe()))
    show(tables, options.format)
    for job, result in zip(jobs, tables, strict=True):
        for path, text in (
            (pathlib.Path(options.json or job.runs / "table.json"), table.json_text(result)),
            (pathlib.Path(options.csv or job.runs / "table.csv"), table.csv_text(result)),
        ):
            write_atomically(path, text.encode())
            print(f"wrote {path}", file=sys.stderr)
    return tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("test_cls.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
