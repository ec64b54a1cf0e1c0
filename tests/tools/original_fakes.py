"""Programs that stand in for an original Caffe: each is a package `caffe` on a path of its own."""

import os
import sys
import sysconfig
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

# A pycaffe without a line of ours, whose nets do what `body` says.
STUB = """
import os, sys, time
TEST = 1
class Layer: pass
class Net:
    def __init__(self, *arguments):
        sys.stderr.write("I1121 02:30:00.000000  7 net.cpp:84] Creating Layer conv\\n")
        sys.stderr.flush()
        {body}
def get_solver(path): pass
def set_mode_cpu(): pass
def layer_type_list(): return {types}
"""
# This engine under another name, changed by `body`.
ENGINE = """
import os, sys
sys.path.remove(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
del sys.modules["caffe"]
import caffe
from caffe import lr_policy, registry
caffe.__file__ = __file__
caffe.layer_type_list()
types = registry._TYPES
{body}
"""
FATAL = (
    "F1121 02:30:00.000000  7 pooling_layer.cpp:44] Check failed: pad_h_ < kernel_h_ (2 vs. 2) \n"
    "*** Check failure stack trace: ***\n    @ 0x7f0000000000 google::LogMessage::Fail()\n"
)
TYPES = ["Convolution", "InnerProduct", "Pooling", "ReLU", "Sigmoid", "Split"]


def python_without_site(folder: Path) -> str:
    """This Python, but its installed packages; this engine's installation would come first."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def _package(folder: Path, text: str) -> str:
    package = folder / "fake" / "caffe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    return str(package.parent)


def stub(folder: Path, body: str = "pass", types=TYPES) -> list[str]:
    """The options for a pycaffe whose Net does this; `types` are what it claims to have."""
    path = _package(folder, STUB.format(body=body, types=types))
    (folder / "fake/caffe/proto").symlink_to(REPOSITORY / "caffe/proto")
    return nothing(folder, path)


def engine(folder: Path, body: str = "") -> list[str]:
    """The options for this engine with a change."""
    return nothing(folder, f"{_package(folder, ENGINE.format(body=body))}:{REPOSITORY}")


def module(folder: Path, text: str) -> list[str]:
    """The options for a module `caffe` of this text."""
    return nothing(folder, _package(folder, text))


def nothing(folder: Path, path: str) -> list[str]:
    """The options for a Python that finds numpy, and on `path` what is there."""
    path = os.pathsep.join([path, sysconfig.get_path("purelib")])
    return ["--python", python_without_site(folder), "--pythonpath", path]
