""".solverstate files, binary or HDF5: where training stood, beside the weights they name."""

import os
from pathlib import Path

import numpy as np

from caffe import hdf5
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
    """Write the state atomically, as HDF5 to a path that ends in .h5, else as binary protobuf.

    learned_net: the weights file's path; current_step: that of the learning rate's policy.
    """
    if Path(path).suffix == ".h5":
        hdf5.write_state(path, iteration, learned_net, history, current_step)
        return
    state = weights_pb2.State(iter=iteration, learned_net=learned_net, current_step=current_step)
    state.history.extend(blob_proto(array) for array in history)
    write_atomic(path, state.SerializeToString())


def load(path: str | os.PathLike) -> tuple[int, Path | None, list[np.ndarray]]:
    """(iteration, weights file or None, history) of a .solverstate or .solverstate.h5.

    A stored path that does not exist is looked for beside the state file, so a run's folder can
    move. Raises CaffeError naming the file if it is missing, is no state, or its weights are gone.
    """
    if Path(path).suffix == ".h5":
        iteration, learned_net, history = hdf5.read_state(path)
    else:
        state = parse_binary(path, weights_pb2.State())
        if not state.HasField("iter"):
            raise CaffeError(f"{path}: no iteration in it (expected a .solverstate)")
        iteration, learned_net = state.iter, os.fsdecode(state.learned_net)
        history = [blob_array(blob, f"{path}: history {i}") for i, blob in enumerate(state.history)]
    return iteration, _find(learned_net, Path(path)), history


def _find(learned_net: str, state_path: Path) -> Path | None:
    if not learned_net:
        return None
    for candidate in (learned_net, os.path.join(state_path.parent, os.path.basename(learned_net))):
        if os.path.exists(candidate):  # False, where Path's raises, for what can be no path
            return Path(candidate)
    raise CaffeError(
        f"{state_path}: its weights {learned_net} are neither there nor beside the state file"
    )
