"""A distillation step with the teacher's cache next to the plain student's: for tools/bench.py.

Both train on the demo's images from the demo's weights, which `make demo` leaves in out/demo.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import run_files
import train
from roi_pooling_rivals import Calls

DEMO = Path("out/demo")


def calls(stage: str) -> Calls | str:
    """One solver step of each; why there is none without the demo's results."""
    cache = DEMO / "seed1" / "teacher_cache"
    if not (cache / f"{stage}.arr").exists():
        return "no out/demo: make demo first"
    return {f"{stage}, cached": _step(stage, "--cache", str(cache)), "student": _step("student")}


def _step(stage: str, *words: str) -> Callable[[], object]:
    runs = tempfile.mkdtemp(prefix="step_rivals")
    atexit.register(shutil.rmtree, runs)
    seed = DEMO / "seed1"
    starts = {
        "--weights": DEMO / "pretrain",
        "--teacher": seed / "wsddn",
        "--stage1": seed / "stage1",
    }
    for flag, folder in starts.items():
        words += (flag, str(run_files.last_weights(folder)))
    options = train.parser().parse_args([stage, "--dataset", "demo", "--runs", runs, *words])
    train.prepare(options)
    plan = train.plan(stage, options)
    plan.folder.mkdir(parents=True)
    solver, _ = train.start_solver(plan, options)
    return lambda: solver.step(1)
