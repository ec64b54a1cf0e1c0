"""The CUDA kernels of the native operators, compiled for the CPU: ops/cuda_on_cpu."""

from collections.abc import Callable
from ctypes import CDLL, c_int64, c_void_p
from pathlib import Path

from caffe.ops import native
from tests import compiled

_FOLDER = Path(__file__).parent / "ops" / "cuda_on_cpu"
_SOURCES = Path(native.__file__).with_name("csrc")


def load() -> CDLL:
    """The library; see cuda_on_cpu/cuda_runtime.h. Its sources have to be C++11."""
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-ffp-contract=off"]
    included = [*_SOURCES.iterdir(), _FOLDER / "cuda_runtime.h"]
    folders = [f"-I{_FOLDER}", f"-I{_SOURCES}"]
    return CDLL(str(compiled.library(_FOLDER / "kernels.cpp", [*flags, *folders], included)))


def caller(kernels: CDLL) -> Callable[..., None]:
    """What takes the place of `native.call` to compute with them."""

    def call(name, *arguments):
        tail = (c_int64(0), c_void_p(None))
        status = getattr(kernels, name)(*map(native._argument, arguments), *tail)
        assert status == 0, kernels.caffe_error_text(c_int64(status))

    return call
