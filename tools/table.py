"""The results table: runs -> rows with mean and deviation, differences, the paper's numbers.

Nothing here runs a net. `Run` is one evaluated snapshot; `build_table` turns a list of them into a
plain dictionary, which is what the JSON file holds and what the terminal, the CSV file and the
HTML report show.
"""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from metrics import COLUMNS, Conventions
from rich import box
from rich.console import Console
from rich.table import Table

STUDENT, TEACHER, DISTILLED = "S-Cls (w/o)", "T-WDet", "S-Cls (w/)"
GAIN, GAP, SHARE = "w/ - w/o", "T-WDet - w/o", "gap closed (%)"
PAPER = pathlib.Path(__file__).with_name("paper_numbers.json")

Values = dict[str, float | None]


@dataclass(frozen=True)
class Run:
    """One evaluated snapshot: its row, seed, the columns in percent and where they came from."""

    row: str
    seed: int
    values: Mapping[str, float]
    images: int
    classes: int
    classes_counted: int
    weights: str


def finite(value: float | None) -> float | None:
    """The number, or None (JSON's null) for nan."""
    return None if value is None or math.isnan(value) else float(value)


def mean_row(name: str, runs: list[Run]) -> dict:
    """Mean and sample standard deviation (n - 1) over the runs; no deviation for a single run."""
    table = np.array([[run.values[column] for column in COLUMNS] for run in runs])
    spread = table.std(axis=0, ddof=1) if len(runs) > 1 else np.full(len(COLUMNS), np.nan)
    return {
        "row": name,
        "source": "ours",
        "mean": {c: finite(v) for c, v in zip(COLUMNS, table.mean(axis=0), strict=True)},
        "std": {c: finite(v) for c, v in zip(COLUMNS, spread, strict=True)},
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


def differences(rows: Mapping[str, Values]) -> list[dict]:
    """The gain of distillation, the teacher's lead and the share of that lead that was closed.

    share = 100 (w/ - w/o) / (teacher - w/o) of the means, None where the teacher does not lead.
    Empty unless the rows hold the student without distillation and one of the other two.
    """
    found = []
    for name, left in ((GAIN, DISTILLED), (GAP, TEACHER)):
        if left in rows and STUDENT in rows:
            found.append({"row": name, "mean": subtract(rows[left], rows[STUDENT])})
    if len(found) == 2:
        gain, gap = found[0]["mean"], found[1]["mean"]
        share = {c: 100 * gain[c] / gap[c] if (gap[c] or 0) > 0 else None for c in COLUMNS}
        found.append({"row": SHARE, "mean": share})
    return found


def build_table(dataset: str, runs: Iterable[Run], conventions: Conventions) -> dict:
    """Everything that is shown: see the keys below; percent, None where there is no number."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.row, []).append(run)
    rows = [mean_row(name, group) for name, group in groups.items()]
    paper = paper_numbers(dataset)
    first = next(iter(groups.values()))[0]
    return {
        "dataset": dataset,
        "images": first.images,
        "classes": first.classes,
        "classes_counted": first.classes_counted,
        "columns": list(COLUMNS),
        "conventions": conventions.describe(),
        "rows": rows,
        "differences": differences({row["row"]: row["mean"] for row in rows}),
        "paper": paper,
        "paper_differences": differences(paper["rows"]),
    }


def cell(mean: float | None, std: float | None = None, digits: int = 1) -> str:
    """`61.2±0.4`, `61.2` without a deviation, `-` without a number."""
    if mean is None:
        return "-"
    text = f"{mean:.{digits}f}"
    return text if std is None else f"{text}±{std:.{digits}f}"


def display_lines(table: dict) -> list[tuple[str, str, list[str]]]:
    """(row, source, one cell per column): ours, each with the paper's below it, then the quoted.

    Sources: "ours", "paper" (the paper's number for a row above), "quoted" (rows not run here).
    """
    quoted = dict(table["paper"]["rows"])
    lines = []
    for row in table["rows"]:
        cells = [cell(row["mean"][c], row["std"][c]) for c in COLUMNS]
        lines.append((row["row"], "ours", cells))
        if row["row"] in quoted:
            values = quoted.pop(row["row"])
            lines.append((row["row"], "paper", [cell(values[c]) for c in COLUMNS]))
    lines += [(name, "quoted", [cell(v[c]) for c in COLUMNS]) for name, v in quoted.items()]
    return lines


def difference_lines(table: dict) -> list[tuple[str, str, list[str]]]:
    """The differences in the form of `display_lines`, the paper's below ours."""
    paper = {line["row"]: line["mean"] for line in table["paper_differences"]}
    lines = []
    for line in table["differences"]:
        digits = 0 if line["row"] == SHARE else 1
        for source, mean in (("ours", line["mean"]), ("paper", paper.get(line["row"]))):
            if mean:
                cells = [cell(mean[c], digits=digits) for c in COLUMNS]
                lines.append((line["row"], source, cells))
    return lines


def notes(table: dict) -> list[str]:
    """The lines under a table: what was counted, the conventions, what the sources mean."""
    left_out = table["classes"] - table["classes_counted"]
    counted = f"{table['images']} images, {table['classes']} classes"
    if left_out:
        counted += f", {left_out} without a positive image left out of mAP and F1-C"
    most = max(len(row["runs"]) for row in table["rows"])
    if most > 1:
        counted += f"; mean±sample standard deviation over {most} seeds"
    gap = f"{GAIN}: gain of distillation, {GAP}: lead of the teacher; gap closed: their ratio"
    quoted = [f"paper, quoted: {table['paper']['source']}"] if table["paper"]["rows"] else []
    explained = [gap] if table["differences"] else []
    return [counted, *table["conventions"], *explained, *quoted]


def print_table(table: dict, console: Console) -> None:
    """The table in the terminal, with its conventions under it; fits in 80 columns."""
    has_paper = bool(table["paper"]["rows"])
    title = f"{table['dataset']}, percent"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    shown.add_column("")
    if has_paper:
        shown.add_column("source", style="dim")
    for column in COLUMNS:
        shown.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)

    def add(name: str, source: str, cells: list[str]) -> None:
        labels = (name, source) if has_paper else (name,)
        shown.add_row(*labels, *cells, style="" if source == "ours" else "dim")

    lines = display_lines(table)
    for part in (
        [line for line in lines if line[1] != "quoted"],
        [line for line in lines if line[1] == "quoted"],
        difference_lines(table),
    ):
        for line in part:
            add(*line)
        shown.add_section()
    console.print(shown)
    for text in notes(table):
        console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)


def json_text(table: dict) -> str:
    """The table as JSON."""
    return json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(table: dict) -> str:
    """One line per run, mean, deviation, difference and quoted row; an empty cell = no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "source", "seed", *COLUMNS])

    def write(name: str, source: str, seed: int | str, values: Values) -> None:
        numbers = ["" if values[c] is None else round(values[c], 4) for c in COLUMNS]
        writer.writerow([name, source, seed, *numbers])

    for row in table["rows"]:
        for run in row["runs"]:
            write(row["row"], "ours", run["seed"], run["values"])
        write(row["row"], "ours", "mean", row["mean"])
        write(row["row"], "ours", "std", row["std"])
    for source, key in (("ours", "differences"), ("paper", "paper_differences")):
        for line in table[key]:
            write(line["row"], source, "", line["mean"])
    for name, values in table["paper"]["rows"].items():
        write(name, "paper", "", values)
    return out.getvalue()
