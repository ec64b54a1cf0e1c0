"""A part of `make test-second-device`, in a process of its own: PyTorch keeps its devices."""

import re
import subprocess
import sys
from pathlib import Path

from tests import kernels_on_cpu, second_device

ROOT = Path(__file__).parents[1]
PART = ["test_blob.py", "test_device.py", "test_solver.py", "ops", "layers"]


def test_layers_solvers_and_operators_agree_on_a_device_that_is_not_the_host():
    kernels_on_cpu.load()  # these skip where there is no compiler
    second_device.build()
    paths = [str(ROOT / "tests" / name) for name in PART]
    command = [sys.executable, "-m", "pytest", "-p", "tests.second_device"]
    choice = ["-p", "no:cacheprovider", "-k", "golden or gpu or device or computes"]
    done = subprocess.run([*command, *choice, *paths], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    computed = re.search(r"(\d+) of \d+ tests computed on the second device", done.stdout)
    assert int(computed[1]) >= 150, done.stdout
