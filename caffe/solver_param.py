"""Solver text to solver message, and from there to the nets it trains and tests.

Everything here maps protobuf messages to protobuf messages; nothing computes.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from caffe import lr_policy
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from caffe.upgrade import upgrade_solver


def place(source: str | os.PathLike | caffe_pb2.SolverParameter) -> str:
    """How errors call a solver: by its file, or "solver" if it came as a message."""
    return "solver" if isinstance(source, caffe_pb2.SolverParameter) else str(source)


def read(source: str | os.PathLike | caffe_pb2.SolverParameter) -> caffe_pb2.SolverParameter:
    """The solver message of a prototxt file (or a copy of one), checked.

    The old solver_type becomes type; snapshot_prefix starts as the solver file's own name, and a
    folder as prefix gets that name appended. Raises CaffeError naming the file and the field.
    """
    param = caffe_pb2.SolverParameter()
    if isinstance(source, caffe_pb2.SolverParameter):
        param.CopyFrom(source)
    else:
        read_text(source, param)
        _complete_prefix(param, Path(source).with_suffix(""))
    upgrade_solver(param, place(source))
    _check(param, place(source))
    return param


def _complete_prefix(param: caffe_pb2.SolverParameter, name: Path) -> None:
    if not param.snapshot_prefix:
        param.snapshot_prefix = str(name)
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, name.name)


def _check(param: caffe_pb2.SolverParameter, where: str) -> None:
    lr_policy.check(param, where)
    if param.regularization_type not in ("L1", "L2"):
        raise CaffeError(
            f'{where}: unknown regularization_type "{param.regularization_type}"; expected L1 or L2'
        )
    for field in ("iter_size", "average_loss"):
        if getattr(param, field) < 1:
            raise CaffeError(f"{where}: {field} must be at least 1, got {getattr(param, field)}")
    _check_folder(param, where)


def _check_folder(param: caffe_pb2.SolverParameter, where: str) -> None:
    """Hours of training must not end at a folder that cannot be written."""
    if not param.snapshot:
        return
    folder = Path(param.snapshot_prefix).parent
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise CaffeError(f'{where}: snapshot_prefix "{param.snapshot_prefix}": cannot write there')


def train_net(param: caffe_pb2.SolverParameter) -> caffe_pb2.NetParameter:
    """The training net, with its state complete: TRAIN, then its own, then train_state."""
    given = [
        field
        for field in ("net", "net_param", "train_net", "train_net_param")
        if param.HasField(field)
    ]
    if len(given) != 1:
        raise CaffeError(
            "solver: expected exactly one of net, net_param, train_net, train_net_param; got "
            f"{', '.join(given) or 'none'}"
        )
    net = _net(getattr(param, given[0]))
    _complete_state(net, caffe_pb2.TRAIN, param.train_state)
    return net


def test_nets(param: caffe_pb2.SolverParameter) -> list[caffe_pb2.NetParameter]:
    """One net for each test_iter: test_net_param, then test_net, then net_param or net again."""
    nets = [_net(source) for source in _test_sources(param)]
    if nets and param.test_interval < 1:
        raise CaffeError(f"solver: {len(nets)} test net(s), but test_interval is missing")
    if len(nets) != len(param.test_iter):
        raise CaffeError(
            f"solver: {len(nets)} test net(s), but {len(param.test_iter)} test_iter; give one each"
        )
    if any(passes < 1 for passes in param.test_iter):
        raise CaffeError(f"solver: test_iter must be at least 1, got {list(param.test_iter)}")
    if param.test_state and len(param.test_state) != len(nets):
        raise CaffeError(
            f"solver: {len(nets)} test net(s), but {len(param.test_state)} test_state; "
            "give none, or one each"
        )
    for i, net in enumerate(nets):
        given = param.test_state[i] if param.test_state else caffe_pb2.NetState()
        _complete_state(net, caffe_pb2.TEST, given)
    return nets


def _complete_state(
    net: caffe_pb2.NetParameter, phase: caffe_pb2.Phase, given: caffe_pb2.NetState
) -> None:
    """Put the solver's state over the net's own, and that over the phase it would have anyway."""
    state = caffe_pb2.NetState(phase=phase)
    state.MergeFrom(net.state)
    state.MergeFrom(given)
    net.state.CopyFrom(state)


def _test_sources(
    param: caffe_pb2.SolverParameter,
) -> Iterator[str | caffe_pb2.NetParameter]:
    yield from param.test_net_param
    yield from param.test_net
    named = len(param.test_net_param) + len(param.test_net)
    for _ in range(len(param.test_iter) - named):
        if param.HasField("net_param") or param.HasField("net"):
            yield param.net_param if param.HasField("net_param") else param.net


def _net(source: str | caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter()
    if isinstance(source, str):
        return read_text(source, net)
    net.CopyFrom(source)
    return net
