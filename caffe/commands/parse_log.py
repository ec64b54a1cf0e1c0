"""parse_log: turn the log of a training run into tables, one of training and one of testing."""

import argparse
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from caffe.commands.common import Parser, Switch, run
from caffe.errors import CaffeError
from caffe.files import write_atomic

Row = dict[str, float]

_STAMP = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6})\s")
_NUMBER = r"([-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))"
_ITERATION = re.compile(r"Iteration (\d+)")
_RATE = re.compile(r"\blr = " + _NUMBER)
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = " + _NUMBER, re.IGNORECASE)


class _Table:
    """The rows of one phase: a row is all that the log says about one iteration."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, start: Row, name: str, value: float) -> None:
        """Put a value into the last row, or into a new one that starts with `start`."""
        if not self.rows or self.rows[-1]["NumIters"] != start["NumIters"]:
            self.rows.append(dict(start))
        self.rows[-1][name] = value

    def finished(self) -> list[Row]:
        """All rows but a last one that the end of the log cut off."""
        rows = self.rows
        if len(rows) > 1:
            # The rate is logged behind the first outputs.
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
            if len(rows[-1]) < len(rows[0]):
                rows.pop()
        return rows


def _timed(lines: Iterable[str], year: int) -> Iterator[tuple[datetime, str]]:
    """The lines that start as glog's do, with their times; the stamps name no year."""
    last_month = 0
    for line in lines:
        stamp = _STAMP.match(line)
        if not stamp:
            continue
        month, day, hour, minute, second, micro = (int(group) for group in stamp.groups())
        year += month < last_month
        last_month = month
        with suppress(ValueError):  # what only looks like a time
            yield datetime(year, month, day, hour, minute, second, micro), line


def _read_lines(path: Path) -> list[tuple[datetime, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        year = datetime.fromtimestamp(path.stat().st_mtime).year
    except OSError as error:
        raise CaffeError(f"{path}: cannot read: {error.strerror}") from None
    if re.search(r"^[IWEF]0229 ", text, re.MULTILINE):
        year -= year % 4
    lines = list(_timed(text.splitlines(), year))
    if not lines:
        raise CaffeError(
            f"{path}: expected lines like "
            '"I1120 23:11:48.123456 4711 solver.cpp:218] Iteration 0, lr = 0.01", found none'
        )
    return lines


def parse_log(path_to_log: str | Path) -> tuple[list[Row], list[Row]]:
    """(rows of training, rows of testing) of a log of Caffe's or ours.

    A row is a dict with NumIters, Seconds (since "Solving <net>", or since the log's begin if it
    has no such line), LearningRate, and the net's outputs by name. Lines that are not glog's are
    passed over. Raises CaffeError naming the file if it cannot be read or has none of glog's.
    """
    lines = _read_lines(Path(path_to_log))
    start = next((time for time, line in lines if "Solving" in line), lines[0][0])
    tables = {"train": _Table(), "test": _Table()}
    iteration, rate = None, float("nan")
    for time, line in lines:
        if found := _ITERATION.search(line):
            iteration = float(found[1])
        if iteration is None:
            continue
        if found := _RATE.search(line):
            rate = float(found[1])
        if found := _OUTPUT.search(line):
            seconds = (time - start).total_seconds()
            row = {"NumIters": iteration, "Seconds": seconds, "LearningRate": rate}
            tables[found[1].lower()].add(row, found[2], float(found[3]))
    return tables["train"].finished(), tables["test"].finished()


def write_csv(path: Path, rows: list[Row], delimiter: str = ",") -> None:
    """Write the rows under a line of their names. Raises CaffeError if that cannot be done."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, names, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, table.getvalue().encode())


def _convert(args: argparse.Namespace) -> None:
    if len(args.delimiter) != 1:
        raise CaffeError(f'--delimiter "{args.delimiter}": expected one character')
    train, test = parse_log(args.logfile_path)
    if not train and not test:
        raise CaffeError(f"{args.logfile_path}: no outputs of a net in it; is `display` set?")
    for rows, kind in ((train, "train"), (test, "test")):
        path = Path(args.output_dir, f"{Path(args.logfile_path).name}.{kind}")
        if rows:
            write_csv(path, rows, args.delimiter)
        if args.verbose:
            print(f"Wrote {path}" if rows else f"Not writing {path}; no lines to write")


def _parser() -> Parser:
    epilog = "Example: parse_log train.log out/"
    parser = Parser("parse_log", description=__doc__, epilog=epilog)
    parser.add_argument("logfile_path", help="the log of `caffe train`")
    parser.add_argument("output_dir", help="folder for <log>.train and <log>.test")
    parser.add_argument("--verbose", action=Switch, help="say which files were written")
    parser.add_argument(
        "--delimiter", default=",", metavar="C", help='between the columns (default: ",")'
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    return run(_parser(), _convert, argv)
