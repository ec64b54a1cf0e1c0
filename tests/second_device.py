"""A pytest plugin that runs the tests with nets on a second device: `make test-second-device`.

second_device.cpp makes one whose tensors PyTorch does not take for the host's: operators refuse to
mix both, numpy refuses them, new memory holds NaN, chance is its own and backward passes run in
another thread, as with a GPU. The native operators' kernels compute there, as cuda_runtime.h in
ops/cuda_on_cpu has them. What a GPU's own arithmetic, its streams and libraries do is not seen.
"""

from ctypes import CDLL, c_int64, c_uint64
from pathlib import Path
from types import ModuleType

import pytest
import torch

import caffe
from caffe import device
from caffe.ops import native
from tests import compiled, kernels_on_cpu

_SOURCE = Path(__file__).with_suffix(".cpp")
_TORCH = Path(torch.__file__).parent
_INCLUDE = _TORCH / "include"
_FLAGS = [
    *("-std=c++20", "-O0", "-Wall", "-Wextra", "-Wno-unused-parameter"),
    *("-DAT_PER_OPERATOR_HEADERS", f"-DTORCH={torch.__version__}"),
    *("-isystem", str(_INCLUDE), "-isystem", str(_INCLUDE / "torch" / "csrc" / "api" / "include")),
    *(f"-L{_TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"),
]
_SECOND = torch.device("privateuseone", 0)
_COMPUTED = ("computed on the second device", True)


def build() -> Path:
    return compiled.library(_SOURCE, _FLAGS)


def _load() -> CDLL:
    path = build()
    torch.ops.load_library(path)
    library = CDLL(str(path))
    library.second_device_calls.restype = c_int64
    module = ModuleType("second")
    module._lazy_init = lambda: None
    module._is_in_bad_fork = lambda: False
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.manual_seed_all = lambda seed: library.second_device_seed(c_uint64(seed))
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    torch.utils.rename_privateuse1_backend("second")
    torch._register_device_module("second", module)
    return library


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.second_device = _load()
    except pytest.skip.Exception as reason:
        pytest.exit(f"make test-second-device: {reason}", returncode=1)


def _may_be_host(tensor: torch.Tensor) -> bool:
    """The grids and the report of impossible rois, which kernels' launchers read on the host."""
    return tensor.dtype == torch.int64 or (tensor.dtype == torch.int32 and tensor.shape == (9,))


def _call(otherwise, kernels):
    """`native.call` for both devices; a pointer to the other one's memory is an error."""

    def call(name, *arguments):
        tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        where = tensors[0].device
        assert all(t.device == where or _may_be_host(t) for t in tensors), f"{name}: mixed devices"
        (kernels if where.type == "second" else otherwise)(name, *arguments)

    return call


@pytest.fixture(autouse=True)
def _second_device(request, monkeypatch):
    def use() -> None:
        monkeypatch.setitem(device._state, "gpu", True)

    monkeypatch.setitem(device._state, "device", _SECOND)
    monkeypatch.setattr(caffe, "set_mode_gpu", use)
    use()
    monkeypatch.setattr(native, "computes_on", lambda where: where.type in ("cpu", "second"))
    call = _call(native.call, kernels_on_cpu.caller(kernels_on_cpu.load()))
    monkeypatch.setattr(native, "call", call)
    library = request.config.second_device
    before = library.second_device_calls()
    yield
    if library.second_device_calls() > before:
        request.node.user_properties.append(_COMPUTED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ends = [report for report in terminalreporter.getreports("") if report.when == "teardown"]
    count = sum(_COMPUTED in report.user_properties for report in ends)
    terminalreporter.write_line(f"{count} of {len(ends)} tests computed on the second device")
