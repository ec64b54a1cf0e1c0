"""TensorBoard event files beside log.jsonl, from training as it runs or from logs that are there.

    python tools/tensorboard_log.py out/demo     # then: tensorboard --logdir out/demo

Needs tensorboardX, which is optional: training without it goes on without event files.
"""

from __future__ import annotations

import argparse
import atexit
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from errors import UserError, exit_code

MISSING = "no TensorBoard event files without tensorboardX: pip install tensorboardX"
EVENTS = "events.out.tfevents.*"


class Events:
    """The event file of one run folder.

    start: the last iteration that an interrupted run keeps; TensorBoard forgets what an earlier
    event file of the folder holds behind it. Raises UserError without tensorboardX.
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise UserError(MISSING) from None
        purge = start + 1 if any(folder.glob(EVENTS)) else None
        self._writer = tensorboardX.SummaryWriter(str(folder), purge_step=purge, flush_secs=10)
        atexit.register(self.close)  # a thread of its own writes, and would be cut off

    def add(self, record: dict) -> None:
        """One line of log.jsonl: each number of it is a curve over iterations."""
        for name, value in record.items():
            if name not in ("iter", "time") and isinstance(value, int | float):
                self._writer.add_scalar(name, value, record["iter"], record.get("time"))

    def close(self) -> None:
        """Write what is left and close the file; done at exit, too."""
        atexit.unregister(self.close)
        self._writer.close()


class NoEvents:
    """In place of Events where they cannot be written."""

    def add(self, record: dict) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def events(folder: Path, start: int = 0) -> Events | NoEvents:
    """The event file of a run folder; without tensorboardX one line that says so, and none."""
    try:
        return Events(folder, start)
    except UserError as error:
        print(error, file=sys.stderr)
        return NoEvents()


def export(path: Path) -> int:
    """Write the event file of a log.jsonl; how many records it holds.

    UserError naming file and line where a record is not one.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            if "iter" in record:
                records.append({**record, "iter": int(record["iter"])})
        except (ValueError, TypeError):
            raise UserError(f"{path}:{number}: expected a JSON object, got {line!r}") from None
    made = Events(path.parent)
    for record in records:
        made.add(record)
    made.close()
    return len(records)


def run(options: argparse.Namespace) -> None:
    """Export every log below the folders that has no event file yet."""
    for folder in map(Path, options.folders):
        logs = sorted(folder.rglob("log.jsonl"))
        if not logs:
            raise UserError(f"{folder}: no log.jsonl in it or below")
        for path in logs:
            if any(path.parent.glob(EVENTS)):
                print(f"{path.parent}: has an event file already")
            else:
                print(f"{path.parent}: {export(path)} records")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folders", nargs="+", metavar="FOLDER", help="run folders, such as out/demo")
    options = made.parse_args(arguments)
    return exit_code("tensorboard_log.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
