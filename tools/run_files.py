"""The files of a run folder: prototxts, snapshots, log.jsonl, and what a run was started with."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from errors import UserError
from files import write_atomically
from google.protobuf import text_format
from google.protobuf.message import Message


def read_prototxt(path: Path, message: Message) -> Message:
    """Parse a prototxt; UserError naming the file and line if that fails."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected a prototxt, which is text in UTF-8") from None
    except text_format.ParseError as error:
        raise UserError(f"{path}:{error}") from None


def write_text(path: Path, text: str) -> None:
    """Replace the file as a whole."""
    write_atomically(path, text.encode("utf-8"))


def iteration_of(snapshot: Path | None) -> int:
    """The n of `<prefix>_iter_<n>.<kind>`; -1 without a snapshot."""
    found = re.search(r"_iter_(\d+)\.\w+$", snapshot.name) if snapshot else None
    return int(found[1]) if found else -1


def last_state(folder: Path) -> Path | None:
    """The newest .solverstate whose weights are there too, or None."""
    states = folder.glob("*_iter_*.solverstate")
    whole = [state for state in states if state.with_suffix(".caffemodel").exists()]
    return max(whole, key=iteration_of, default=None)


def last_weights(folder: Path) -> Path:
    """The newest .caffemodel of a run folder.

    Raises UserError naming the folder if the stage has not been trained.
    """
    found = max(folder.glob("*_iter_*.caffemodel"), key=iteration_of, default=None)
    if not found:
        raise UserError(f"{folder}: no snapshot *_iter_<n>.caffemodel; train {folder.name} first")
    return found


def append_line(path: Path, record: dict) -> None:
    """Add one JSON object as a line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def drop_after(path: Path, iteration: int) -> None:
    """Drop the lines of iterations that a resumed run will do again, and lines cut by a crash."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if json.loads(line).get("iter", 0) <= iteration:
                kept.append(line + "\n")
    write_text(path, "".join(kept))


def check_same_options(folder: Path, options: dict) -> None:
    """Remember what a run was started with; UserError if it is continued with something else."""
    path = folder / "options.json"
    if not path.exists():
        write_text(path, json.dumps(options, indent=1) + "\n")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{name} {before.get(name)} -> {value}"
        for name, value in options.items()
        if before.get(name) != value
    ]
    if changed:
        raise UserError(
            f"{folder} was started with other options ({'; '.join(changed)}); "
            "give another --runs folder, or remove this one"
        )
