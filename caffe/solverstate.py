""".solverstate files: where training stood, beside the .caffemodel it names."""

import os
from pathlib import Path

import numpy as np

from caffe.caffemodel import blob_array, blob_proto, parse_binary
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.proto import weights_pb2


def save(
    path: str | os.PathLike,
    iteration: int,
    learned_net: str,
    history: list[np.ndarray],
    current_step: int,
) -> None:
    """Write a binary .caffe.SolverState atomically; `learned_net` is the weights file's path."""
    state = weights_pb2.State(iter=iteration, learned_net=learned_net, current_step=current_step)
    state.history.extend(blob_proto(array) for array in history)
    write_atomic(path, state.SerializeToString())


def load(path: str | os.PathLike) -> tuple[int, Path | None, list[np.ndarray]]:
    """(iteration, weights file or None, history) of a .solverstate.

    A stored path that does not exist is looked for beside the state file, so a run's folder can
    move. Raises CaffeError naming the file if it is missing, is no state, or its weights are gone.
    """
    if Path(path).suffix == ".h5":
        raise CaffeError(f"{path}: HDF5 states cannot be read; expected a binary .solverstate")
    state = parse_binary(path, weights_pb2.State())
    if not state.HasField("iter"):
        raise CaffeError(f"{path}: no iteration in it (expected a .solverstate)")
    history = [blob_array(blob, path) for blob in state.history]
    return state.iter, _find(state.learned_net, Path(path)), history


def _find(learned_net: str, state_path: Path) -> Path | None:
    if not learned_net:
        return None
    stored = Path(learned_net)
    for candidate in (stored, state_path.parent / stored.name):
        if candidate.exists():
            return candidate
    raise CaffeError(
        f"{state_path}: its weights {learned_net} are neither there nor beside the state file"
    )
