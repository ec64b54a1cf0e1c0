"""Libraries that tests compile from C++, once for each state of their sources."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[1] / "build" / "tests"


def library(source: Path, flags: Sequence[str], included: Iterable[Path] = ()) -> Path:
    """The shared library of `source`, compiled again if it, a file of `included` or a flag changed.

    Skips the test where there is no compiler.
    """
    compiler = os.environ.get("CXX", "g++").split()
    if not shutil.which(compiler[0]):
        pytest.skip(f"needs a C++ compiler; there is no {compiler[0]}")
    # The source comes before the libraries that it is linked with.
    command = [*compiler, "-shared", "-fPIC", str(source), *flags]
    state = hashlib.sha256(" ".join(command).encode())
    for path in [source, *sorted(included)]:
        state.update(path.read_bytes())
    built = _FOLDER / f"{source.stem}-{state.hexdigest()[:16]}.so"
    if not built.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        partial = built.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(partial)], check=True)
        partial.rename(built)
    return built
