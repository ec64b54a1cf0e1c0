"""A pytest plugin that writes which layer was compared with what: `make docs`."""

import platform
from collections import Counter
from datetime import date
from pathlib import Path

import onnxruntime
import pytest
import torch

import caffe
from caffe.files import write_atomic
from tests import evidence

_HEAD = """# Layer types and what their numbers were compared with

Written by `make docs` from the tests in `tests/layers`; do not edit.
Measured {date} on {machine}, PyTorch {torch}, CPU.

* **Golden cases**: forward and backward passes recorded from the original forks (`tests/golden`),
  with the largest relative error of the outputs | of the gradients. `mlic` is the authors' tree,
  `pspnet` the PSPNet fork, `data` what the original tools and data layers read and wrote. Decoded
  images may differ by one grey level between versions of OpenCV.
* **Gradient**: the largest relative error against a central difference in float64, and how many
  were taken.
* **Tests**: all tests of the type's file: hand values, computations independent of PyTorch, errors.
* **ONNX**, **TorchScript**: the largest relative error of what `caffe export` writes, run by
  onnxruntime {runtime} and by PyTorch alone on small nets that cover the type's fields
  (`tests/export`). –: the type cannot go, and the command says why.

| Layer type | Golden cases | Gradient | Tests | ONNX | TorchScript |
|---|---|---|---|---|---|
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity-table", metavar="FILE", help="write the table of layers there")


class _Table:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed[Path(report.location[0]).stem.removeprefix("test_").replace("_", "")] += 1

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == 0:
            write_atomic(self._path, render(self._passed).encode())


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--parity-table")
    if path:
        config.pluginmanager.register(_Table(Path(path)))


def _short(error: float) -> str:
    return f"{error:.0e}" if error else "0"


def _golden(layer: str) -> str:
    lines = []
    for case in sorted({case for case in evidence.GOLDEN if case.layer == layer}):
        gradients = "–" if case.gradients is None else _short(case.gradients)
        lines.append(f"{case.case} ({_short(case.outputs)} \\| {gradients})")
    return "<br>".join(lines) or "–"


def _gradient(layer: str) -> str:
    errors = [gradient.error for gradient in evidence.GRADIENTS if gradient.layer == layer]
    return f"{_short(max(errors))} ({len(errors)})" if errors else "–"


def _export(layer: str, to: str) -> str:
    exports = evidence.EXPORTS
    errors = [export.error for export in exports if (export.layer, export.to) == (layer, to)]
    return _short(max(errors)) if errors else "–"


def render(passed: Counter[str]) -> str:
    """The table as Markdown; `passed` counts the tests of each type in lower case."""
    machine = f"{platform.system()} {platform.machine()}"
    versions = {"torch": torch.__version__, "runtime": onnxruntime.__version__}
    head = _HEAD.format(date=date.today(), machine=machine, **versions)
    rows = [
        f"| {name} | {_golden(name)} | {_gradient(name)} | {passed[name.lower()]} "
        f"| {_export(name, 'onnx')} | {_export(name, 'torchscript')} |"
        for name in caffe.layer_type_list()
    ]
    return head + "\n".join(rows) + "\n"
