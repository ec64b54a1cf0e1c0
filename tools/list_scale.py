"""Memory and time of a list as long as COCO's: 82,081 lines of 500 proposals, of random numbers.

    python tools/list_scale.py            (part of `make bench`)

Writes a list in the released format into a temporary folder, imports it as data/convert_list.py
does, opens the prepared set and goes through it, each step in a process of its own, and removes
the folder. The images are links to one of 8x8 pixels: this is about lines and boxes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hardware import hardware
from options import natural

from python_layers.prepared_set import PreparedSet

LINES, BOXES, CLASSES, SIDE = 82_081, 500, 80, 672
# Bytes of a box at most: in the list, in the file that holds them while the list is imported, and
# in proposals.arr.
TEXT, SPOOL, STORED = len("671.9 671.9 671.9 671.9 0.999 "), 5 * 4, 5 * 4
OPENING_SECONDS, PEAK_BYTES = 2.0, 2 * 2**30  # what must not be reached


def write_list(folder: Path, lines: int, boxes: int) -> None:
    """The list, scores falling, and the images it names."""
    import cv2

    rng = np.random.default_rng(0)
    image = folder / "image.png"
    cv2.imwrite(str(image), np.zeros((8, 8, 3), np.uint8))
    (folder / "images").mkdir()
    corner = [f"{tenth / 10:g}" for tenth in range(10 * SIDE - 9)]
    score = [f"{part / 1000:g}" for part in range(1000)]
    with open(folder / "list.txt", "w", encoding="ascii") as file:
        for number in range(lines):
            name = f"{number:06}.png"
            os.symlink(image, folder / "images" / name)
            labels = [str(label) for label in rng.binomial(1, 0.04, CLASSES)]
            ends = np.sort(rng.integers(0, len(corner), (2, 2, boxes)), axis=0).reshape(4, boxes)
            scores = np.sort(rng.integers(0, len(score), boxes))[::-1]
            words = [name, *labels]
            for box, number in zip(ends.T.tolist(), scores.tolist(), strict=True):
                words += [*(corner[end] for end in box), score[number]]
            file.write(" ".join(words) + "\n")


def import_set(folder: Path) -> None:
    """The prepared set of the list."""
    from convert_list import import_list

    classes = [str(number) for number in range(CLASSES)]
    import_list(folder / "list.txt", folder / "images", classes, folder / "set", (SIDE, SIDE))


def open_set(folder: Path) -> None:
    """All of the prepared set, proposals included, is there to be read."""
    assert PreparedSet(folder / "set").boxes_stored > 0


def iterate(folder: Path) -> None:
    """Labels and proposals of all images."""
    prepared = PreparedSet(folder / "set")
    for index in range(len(prepared)):
        prepared.labels[index].any()
        prepared.proposals(index, prepared.boxes_stored).sum()


STEPS = {"import the list": import_set, "open the set": open_set, "go through it": iterate}


def peak_of_this_process() -> int:
    """Bytes of memory, mapped files included. getrusage would count the parent's as well."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024


def run_step(name: str, folder: Path) -> None:
    """Do a step in this process; print its seconds and the process's peak as JSON."""
    start = time.perf_counter()
    STEPS[name](folder)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": round(seconds, 4), "peak_bytes": peak_of_this_process()}))


def measured(name: str, folder: Path) -> dict:
    """Do a step in a process of its own: {seconds, peak_bytes}."""
    data = Path(__file__).parents[1] / "data"
    words = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(data)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"list_scale.py: {name}: failed, see above")
    return json.loads(done.stdout)


def bytes_needed(lines: int, boxes: int) -> int:
    """What the folder holds at most."""
    line = len("000000.png") + 2 * CLASSES + 1
    return lines * (2 * line + boxes * (TEXT + SPOOL + STORED))


def measure(lines: int, boxes: int, place: Path | None = None) -> dict:
    """{lines, boxes, list_bytes, set_bytes, steps: {name: {seconds, peak_bytes, good}}}.

    Works in a temporary folder, in `place` if given, and says first how many bytes it takes; where
    the disk has fewer, {not_measured: why} is the result.
    """
    need = bytes_needed(lines, boxes)
    with tempfile.TemporaryDirectory(dir=place, prefix="list_scale") as name:
        folder, free = Path(name), shutil.disk_usage(name).free
        if free < need:
            return {"not_measured": f"{folder.parent} has {free:,} of {need:,} bytes"}
        print(f"{folder}: takes up to {need:,} bytes of {free:,}", file=sys.stderr)
        write_list(folder, lines, boxes)
        steps = {step: measured(step, folder) for step in STEPS}
        files = {"list_bytes": [folder / "list.txt"], "set_bytes": (folder / "set").iterdir()}
        sizes = {name: sum(f.stat().st_size for f in some) for name, some in files.items()}
    for name, step in steps.items():
        fast = name != "open the set" or step["seconds"] < OPENING_SECONDS
        step["good"] = fast and step["peak_bytes"] < PEAK_BYTES
    return {"lines": lines, "boxes": boxes, **sizes, "steps": steps}


def show(record: dict) -> None:
    """Print the steps in lines, or why there are none."""
    if "not_measured" in record:
        print(f"list of proposals: {record['not_measured']}")
        return
    size = f"{record['lines']:,} lines x {record['boxes']} proposals"
    print(f"{size}: list {record['list_bytes']:,} bytes, set {record['set_bytes']:,} bytes")
    for name, step in record["steps"].items():
        peak = f"{step['peak_bytes'] / 2**20:,.0f} MiB"
        verdict = "" if step["good"] else "   too much: below 2 GiB, opening below 2 s"
        print(f"{name:16} {step['seconds']:9.2f} s   peak {peak:>9}{verdict}")


def parser() -> argparse.ArgumentParser:
    """The command line, documented by --help."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--lines", type=natural, default=LINES, help="(%(default)s)")
    made.add_argument("--boxes", type=natural, default=BOXES, help="a line (%(default)s)")
    made.add_argument("--json", action="store_true", help="print the results as JSON")
    made.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    made.add_argument("--folder", type=Path, help="where to make the temporary folder")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 where it was not measured, or a step took too much."""
    options = parser().parse_args(arguments)
    if options.step:
        run_step(options.step, options.folder)
        return 0
    record = measure(options.lines, options.boxes, options.folder)
    if options.json:
        print(json.dumps(record))
    else:
        show(record)
        print(hardware())
    return 0 if all(s["good"] for s in record.get("steps", {"": {"good": False}}).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
