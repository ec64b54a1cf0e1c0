"""The results table: runs -> rows with mean and deviation, differences, the paper's numbers.

Nothing here runs a net. `Run` is one evaluated snapshot; `build_table` turns a list of them into a
plain dictionary, which is what the JSON file holds and what the terminal, Markdown, LaTeX, the CSV
file and the HTML report show.
"""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from metrics import COLUMNS, Conventions, interval
from rich import box
from rich.console import Console
from rich.table import Table

STUDENT, TEACHER, DISTILLED = "S-Cls (w/o)", "T-WDet", "S-Cls (w/)"
GAIN, GAP, SHARE = "w/ - w/o", "T-WDet - w/o", "gap closed (%)"
INTERVAL = "95%"
PAPER = pathlib.Path(__file__).with_name("paper_numbers.json")

Values = dict[str, float | None]


@dataclass(frozen=True)
class Run:
    """One evaluated snapshot: its row, seed, the columns in percent and where they came from.

    resamples: mAP on bootstrap resamples of the images, the same ones for every run.
    """

    row: str
    seed: int
    values: Mapping[str, float]
    images: int
    classes: int
    classes_counted: int
    weights: str
    resamples: np.ndarray = field(default_factory=lambda: np.empty(0))


def finite(value: float | None) -> float | None:
    """The number, or None (JSON's null) for nan."""
    return None if value is None or math.isnan(value) else float(value)


def finite_pair(pair: tuple[float, float]) -> list[float] | None:
    """[low, high] for JSON, or None for a pair of nan."""
    return None if math.isnan(pair[0]) else list(pair)


def mean_resamples(runs: Sequence[Run]) -> np.ndarray:
    """The row's mAP, the mean over its seeds, on each resample of the images."""
    return np.mean([run.resamples for run in runs], axis=0)


def mean_row(name: str, runs: list[Run]) -> dict:
    """Mean and sample standard deviation (n - 1) over the runs; no deviation for a single run."""
    table = np.array([[run.values[column] for column in COLUMNS] for run in runs])
    spread = table.std(axis=0, ddof=1) if len(runs) > 1 else np.full(len(COLUMNS), np.nan)
    return {
        "row": name,
        "source": "ours",
        "mean": {c: finite(v) for c, v in zip(COLUMNS, table.mean(axis=0), strict=True)},
        "std": {c: finite(v) for c, v in zip(COLUMNS, spread, strict=True)},
        "interval": finite_pair(interval(table[:, 0].mean(), mean_resamples(runs))),
        "runs": [
            {
                "seed": run.seed,
                "weights": run.weights,
                "values": {column: finite(run.values[column]) for column in COLUMNS},
            }
            for run in runs
        ],
    }


def paper_numbers(dataset: str) -> dict:
    """{"source": where from, "rows": {row: columns in percent or None}}; no rows if none known."""
    known = json.loads(PAPER.read_text(encoding="utf-8"))
    found = known.get(dataset, {"source": "", "rows": {}})
    rows = {
        name: dict(zip(known["columns"], row, strict=True)) for name, row in found["rows"].items()
    }
    return {"source": found["source"], "rows": rows}


def subtract(left: Values, right: Values) -> Values:
    """Column by column left - right, None where either is missing."""
    pairs = ((column, left[column], right[column]) for column in COLUMNS)
    return {c: None if a is None or b is None else a - b for c, a, b in pairs}


def compared(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """{difference: (row, row to subtract)}: ours, the teacher's, then students of other names.

    Those are rows such as "S-Cls (w/), ResNet-18" beside "S-Cls (w/o), ResNet-18".
    """
    names = list(names)
    found = {GAIN: (DISTILLED, STUDENT), GAP: (TEACHER, STUDENT)}
    for name in names:
        if name.startswith(DISTILLED):
            what = name.removeprefix(DISTILLED)
            found[GAIN + what] = (name, STUDENT + what)
    return {name: pair for name, pair in found.items() if set(pair) <= set(names)}


def differences(
    rows: Mapping[str, Values], seeds: Mapping[str, list[int]] | None = None
) -> list[dict]:
    """The gain of distillation, the teacher's lead and the share of that lead that was closed.

    share = 100 (w/ - w/o) / (teacher - w/o) of the means, None where the teacher does not lead.
    Rows of unlike `seeds` are not compared: the seed would be taken for the method. Empty unless
    the rows hold a student without distillation and what to compare it with.
    """
    seeds = seeds or {}
    found = {
        name: subtract(rows[left], rows[right])
        for name, (left, right) in compared(rows).items()
        if seeds.get(left) == seeds.get(right)
    }
    lines = [{"row": name, "mean": mean} for name, mean in found.items()]
    if GAIN in found and GAP in found:
        gain, gap = found[GAIN], found[GAP]
        share = {c: 100 * gain[c] / gap[c] if (gap[c] or 0) > 0 else None for c in COLUMNS}
        lines.insert(2, {"row": SHARE, "mean": share})
    return lines


def add_intervals(found: list[dict], groups: Mapping[str, Sequence[Run]]) -> list[dict]:
    """Give each difference of two rows the interval of its mAP, from resamples in pairs."""
    resamples = {name: mean_resamples(runs) for name, runs in groups.items()}
    both = compared(groups)
    for line in found:
        left, right = both.get(line["row"], (None, None))
        pairs = resamples[left] - resamples[right] if left else np.empty(0)
        estimate = line["mean"][COLUMNS[0]]
        known = math.nan if estimate is None else estimate
        line["interval"] = finite_pair(interval(known, pairs))
    return found


def build_table(
    dataset: str, runs: Iterable[Run], conventions: Conventions, tested: Sequence[str] = ()
) -> dict:
    """Everything that is shown: see the keys below; percent, None where there is no number.

    runs: all of one set of images; tested: further lines about how.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.row, []).append(run)
    rows = [mean_row(name, group) for name, group in groups.items()]
    means = {row["row"]: row["mean"] for row in rows}
    seeds = {row["row"]: seeds_of(row) for row in rows}
    paper = paper_numbers(dataset)
    first = next(iter(groups.values()))[0]
    return {
        "dataset": dataset,
        "images": first.images,
        "classes": first.classes,
        "classes_counted": first.classes_counted,
        "columns": list(COLUMNS),
        "conventions": [*conventions.describe(), *tested],
        "resamples": len(first.resamples),
        "rows": rows,
        "differences": add_intervals(differences(means, seeds), groups),
        "paper": paper,
        "paper_differences": differences(paper["rows"]),
    }


def cell(mean: float | None, std: float | None = None, digits: int = 1) -> str:
    """`61.2±0.4`, `61.2` without a deviation, `-` without a number."""
    if mean is None:
        return "-"
    text = f"{mean:.{digits}f}"
    return text if std is None else f"{text}±{std:.{digits}f}"


def interval_cell(line: Mapping) -> list[str]:
    """`58.1–63.9` for the column behind mAP; empty without an interval."""
    pair = line.get("interval")
    return ["–".join(cell(end) for end in pair) if pair else ""]


def headings(table: dict) -> list[str]:
    """The columns' names, the interval's among them where there are resamples."""
    first, *rest = table["columns"]
    return [first, *([INTERVAL] if table["resamples"] else []), *rest]


def cells_of(table: dict, line: Mapping, texts: list[str]) -> list[str]:
    """A line's cells under `headings`: its texts, with its interval behind the first."""
    return [texts[0], *(interval_cell(line) if table["resamples"] else []), *texts[1:]]


def display_lines(table: dict) -> list[tuple[str, str, list[str]]]:
    """(row, source, one cell per heading): ours, each with the paper's below it, then the quoted.

    Sources: "ours", "paper" (the paper's number for a row above), "quoted" (rows not run here).
    """
    quoted = dict(table["paper"]["rows"])
    lines = []
    for row in table["rows"]:
        texts = [cell(row["mean"][c], row["std"][c]) for c in COLUMNS]
        lines.append((row["row"], "ours", cells_of(table, row, texts)))
        if row["row"] in quoted:
            values = quoted.pop(row["row"])
            texts = [cell(values[c]) for c in COLUMNS]
            lines.append((row["row"], "paper", cells_of(table, {}, texts)))
    for name, values in quoted.items():
        texts = [cell(values[c]) for c in COLUMNS]
        lines.append((name, "quoted", cells_of(table, {}, texts)))
    return lines


def difference_lines(table: dict) -> list[tuple[str, str, list[str]]]:
    """The differences in the form of `display_lines`, the paper's below ours."""
    paper = {line["row"]: line for line in table["paper_differences"]}
    lines = []
    for line in table["differences"]:
        digits = 0 if line["row"] == SHARE else 1
        for source, found in (("ours", line), ("paper", paper.get(line["row"]))):
            if found:
                texts = [cell(found["mean"][c], digits=digits) for c in COLUMNS]
                lines.append((line["row"], source, cells_of(table, found, texts)))
    return lines


def sections(table: dict) -> list[list[tuple[str, str, list[str]]]]:
    """The parts between which there is a rule: run here, quoted only, differences."""
    lines = display_lines(table)
    parts = (
        [line for line in lines if line[1] != "quoted"],
        [line for line in lines if line[1] == "quoted"],
        difference_lines(table),
    )
    return [part for part in parts if part]


def seeds_of(row: Mapping) -> list[int]:
    """The seeds that a row of the table is the mean over."""
    return sorted(run["seed"] for run in row["runs"])


def partial_notes(table: dict) -> list[str]:
    """A line for each row that lacks seeds which another row has."""
    every = sorted({seed for row in table["rows"] for seed in seeds_of(row)})
    wanted = ", ".join(map(str, every))
    return [
        f"{row['row']}: of seed {', '.join(map(str, seeds_of(row)))} alone, not of {wanted}: its "
        "mean does not compare with those over other seeds"
        for row in table["rows"]
        if seeds_of(row) != every
    ]


def notes(table: dict) -> list[str]:
    """The lines under a table: what was counted, the conventions, what the sources mean."""
    left_out = table["classes"] - table["classes_counted"]
    counted = f"{table['images']} images, {table['classes']} classes"
    if left_out:
        counted += f", {left_out} without a positive image left out of mAP and F1-C"
    most = max(len(row["runs"]) for row in table["rows"])
    if most > 1:
        counted += f"; mean±sample standard deviation over {most} seeds"
    drawn = (
        f"{INTERVAL}: basic bootstrap interval of mAP over {table['resamples']:,} resamples of "
        "the images with replacement (differences: of both nets on the same resample)"
    )
    gap = f"{GAIN}: gain of distillation, {GAP}: lead of the teacher; gap closed: their ratio"
    quoted = [f"paper, quoted: {table['paper']['source']}"] if table["paper"]["rows"] else []
    explained = [gap] if table["differences"] else []
    resampled = [drawn] if table["resamples"] else []
    return [counted, *partial_notes(table), *table["conventions"], *resampled, *explained, *quoted]


def print_table(table: dict, console: Console) -> None:
    """The table in the terminal, with its conventions under it; fits in 80 columns."""
    has_paper = bool(table["paper"]["rows"])
    title = f"{table['dataset']}, percent"
    style = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    gap = 0 if has_paper and table["resamples"] else 1  # beside the space of the box
    shown = Table(title=title, title_justify="left", padding=(0, gap), **style)
    shown.add_column("")
    if has_paper:
        shown.add_column("source", style="dim")
    for column in headings(table):
        shown.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    for part in sections(table):
        for name, source, cells in part:
            labels = (name, source) if has_paper else (name,)
            shown.add_row(*labels, *cells, style="" if source == "ours" else "dim")
        shown.add_section()
    console.print(shown)
    for text in notes(table):
        console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)


def markdown_text(table: dict) -> str:
    """The table for GitHub's Markdown, with its notes as a list."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"

    columns = headings(table)
    lines = [
        line([f"{table['dataset']}, %", "source", *columns]),
        "|---|---|" + "--:|" * len(columns),
    ]
    for part in sections(table):
        lines += [line([name, source, *cells]) for name, source, cells in part]
    return "\n".join([*lines, "", *(f"* {text}" for text in notes(table)), ""])


LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", ">=": r"$\ge$", ">": "$>$",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}  # fmt: skip
LATEX_SIGNS = re.compile("|".join(map(re.escape, LATEX)))


def latex(text: str) -> str:
    """Plain text as LaTeX that prints it."""
    return LATEX_SIGNS.sub(lambda found: LATEX[found[0]], text)


def latex_text(table: dict) -> str:
    """The table as a tabular for the package booktabs, its notes as paragraphs below."""

    def line(cells: Iterable[str]) -> str:
        return " & ".join(latex(text) for text in cells) + r" \\"

    columns = headings(table)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{tabular}{ll" + "r" * len(columns) + "}",
        r"\toprule",
        line([f"{table['dataset']}, %", "source", *columns]),
    ]
    for part in sections(table):
        lines += [r"\midrule", *(line([name, source, *cells]) for name, source, cells in part)]
    small = r" \\ ".join(latex(text) for text in notes(table))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", rf"{{\small {small}}}", ""])


def json_text(table: dict) -> str:
    """The table as JSON."""
    return json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(table: dict) -> str:
    """One line per run, mean, deviation, difference and quoted row; an empty cell = no number.

    The last two columns are the interval of mAP, in the lines of means and differences.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = ("mAP low", "mAP high")
    writer.writerow(["dataset", "row", "source", "seed", *COLUMNS, *ends])

    def write(name: str, source: str, seed: int | str, values: Values, pair=None) -> None:
        numbers = [*(values[c] for c in COLUMNS), *(pair or (None, None))]
        rounded = ["" if number is None else round(number, 4) for number in numbers]
        writer.writerow([table["dataset"], name, source, seed, *rounded])

    for row in table["rows"]:
        for run in row["runs"]:
            write(row["row"], "ours", run["seed"], run["values"])
        write(row["row"], "ours", "mean", row["mean"], row["interval"])
        write(row["row"], "ours", "std", row["std"])
    for source, key in (("ours", "differences"), ("paper", "paper_differences")):
        for line in table[key]:
            write(line["row"], source, "", line["mean"], line.get("interval"))
    for name, values in table["paper"]["rows"].items():
        write(name, "paper", "", values)
    return out.getvalue()
