"""Time the engine and its native operators against named rivals, as ratios in one run.

    make bench            or            python tools/bench.py --json out/bench.json

Each pair is timed in turn, one call each, so that what else the machine does hits both; the ratio
is that of the medians. At last a list as long as COCO's is read, for its time and memory.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import data_path_rivals
import list_scale
import step_rivals
import torch
from files import write_atomically
from hardware import hardware
from rich.console import Console
from rich.table import Table
from roi_pooling_rivals import Calls, cpu_calls, gpu_calls
from vgg16_rivals import forward_calls, training_calls


def median_times(calls: Calls, runs: int) -> dict[str, float]:
    """Median seconds of each call, after one warm-up, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(runs + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if run:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


VGG = "8x3x224x224"
MAP = "boxes on 1x512x42x42"
JPEG = "JPEGs 640x480 to 672x672"
BENCHES: tuple[tuple[str, Callable[[Path], Calls | str], int, str], ...] = (
    (f"VGG16 forward {VGG}", lambda models: forward_calls(models, "fp32"), 7, "<= 1.02"),
    (f"VGG16 training {VGG}", lambda models: training_calls(models, "fp32"), 7, "<= 1.02"),
    (f"VGG16 forward {VGG}, bf16", lambda models: forward_calls(models, "bf16"), 9, "<= 1.02"),
    (f"VGG16 training {VGG}, bf16", lambda models: training_calls(models, "bf16"), 9, "<= 1.02"),
    (f"RoI pooling, 500 {MAP}", lambda models: cpu_calls(500), 21, "<= 0.33"),
    (f"RoI pooling, 2000 {MAP}", lambda models: cpu_calls(2000), 15, "<= 0.33"),
    (f"RoI pooling on a GPU, 500 {MAP}", lambda models: gpu_calls(500), 50, "<= 0.5"),
    (f"RoI pooling on a GPU, 2000 {MAP}", lambda models: gpu_calls(2000), 50, "<= 0.5"),
    ("step of stage 1, cached", lambda models: step_rivals.calls("stage1"), 30, "<= 1.15"),
    ("step of stage 2, cached", lambda models: step_rivals.calls("stage2"), 30, "<= 1.15"),
    (JPEG, lambda models: data_path_rivals.calls(data_path_rivals.resized, False), 7, "<= 1.11"),
    (
        f"{JPEG}, memory kept",
        lambda models: data_path_rivals.calls(data_path_rivals.resized, True),
        7,
        "<= 1.11",
    ),
    (
        f"{JPEG} as a net reads them, memory kept",
        lambda models: data_path_rivals.calls(data_path_rivals.net_input, True),
        7,
        "<= 1.11",
    ),
)


def measure(models: Path) -> dict:
    """All benches; {name: {seconds of ours, of the rival, their ratio, what it must reach}}.

    One that cannot be measured here has its reason in place of the seconds.
    """
    results: dict[str, dict] = {}
    for name, make, runs, target in BENCHES:
        calls = make(models)
        if isinstance(calls, str):
            results[name] = {"not_measured": calls, "target": target}
            continue
        times = median_times(calls, runs)
        (ours, mine), (rival, theirs) = times.items()
        results[name] = {
            "ours": ours,
            "seconds": round(mine, 7),
            "rival": rival,
            "rival_seconds": round(theirs, 7),
            "ratio": round(mine / theirs, 4),
            "target": target,
            "runs": runs,
        }
    return results


def data_path_parts() -> dict[str, float]:
    """Milliseconds of each part of the data path for an image, on one core."""
    times = median_times(data_path_rivals.parts(), 40)
    return {name: 1e3 * seconds / data_path_rivals.BATCH for name, seconds in times.items()}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds > 0.01 else f"{seconds * 1e3:.3f} ms"


def show(results: dict, console: Console) -> None:
    """Print the results as a table."""
    table = Table("what is timed", "ours", "rival", "ratio", "target")
    for name, row in results.items():
        if "not_measured" in row:
            table.add_row(name, row["not_measured"], "", "", row["target"])
            continue
        ours = f"{row['ours']} {_milliseconds(row['seconds'])}"
        rival = f"{row['rival']} {_milliseconds(row['rival_seconds'])}"
        table.add_row(name, ours, rival, f"{row['ratio']:.3f}", row["target"])
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="(models)")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"), help="(%(default)s)")
    options = parser.parse_args()
    logging.getLogger("caffe").addHandler(logging.NullHandler())  # the nets' logs
    results = measure(options.models)
    scale = list_scale.measure(list_scale.LINES, list_scale.BOXES)
    parts = data_path_parts()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    about = f"{hardware()}, torch {torch.__version__}"
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": about,
        "peak_memory_GiB": round(peak, 2),
        "benches": results,
        "data_path_ms_per_image": parts,
        "list_scale": scale,
    }
    write_atomically(options.json, json.dumps(record, indent=1).encode() + b"\n")
    show(results, Console())
    for name, milliseconds in parts.items():
        print(f"data path on one core, an image: {name:28}{milliseconds:6.2f} ms")
    list_scale.show(scale)
    print(f"{about}; peak memory {peak:.1f} GiB; written to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
