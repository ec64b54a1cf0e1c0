"""What the solvers' tests need: the golden runs, and a net small enough to compute by hand."""

from pathlib import Path

import numpy as np

import caffe
from tests.layer_checks import GOLDEN, relative_error

SOLVERS = GOLDEN / "solver"

# One InnerProduct of 3 rows of 5 numbers to 2 numbers, with the squared distance to y as its loss.
NET = """
name: "line"
input: "x" input_shape { dim: 3 dim: 5 } input: "y" input_shape { dim: 3 dim: 2 }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" PARAMS
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
"""


def write_solver(folder: Path, solver: str, params: str = "", net: str = NET) -> str:
    """Write net.prototxt and solver.prototxt into `folder`; the solver's path."""
    (folder / "net.prototxt").write_text(net.replace("PARAMS", params), encoding="utf-8")
    path = folder / "solver.prototxt"
    path.write_text(f'net: "{folder}/net.prototxt"\n{solver}\n', encoding="utf-8")
    return str(path)


def line_solver(folder: Path, solver: str, params: str = "", seed: int = 3):
    """A solver of NET whose inputs and parameters hold random numbers of `seed`."""
    made = caffe.get_solver(write_solver(folder, solver, params))
    rng = np.random.default_rng(seed)
    blobs = [made.net.blobs["x"], made.net.blobs["y"], *made.net.params["ip"]]
    for blob in blobs:
        blob.data[...] = rng.standard_normal(blob.shape)
    return made


def golden_solver(folder: Path, name: str, start: str = "init"):
    """The golden run `name`: (its solver, its recorded numbers).

    The solver stands before the first step with `start` "init", or holds those weights.
    """
    with np.load(SOLVERS / f"solver_{name}.npz") as file:
        case = dict(file)
    made = caffe.get_solver(write_solver(folder, str(case["solver"]), net=str(case["net"])))
    made.net.blobs["x"].data[...] = case["x"]
    made.net.blobs["y"].data[...] = case["y"]
    for layer, blobs in made.net.params.items():
        for i, blob in enumerate(blobs):
            blob.data[...] = case[f"{start}_{layer}_{i}"]
    return made, case


def assert_weights(net, case, when: str) -> None:
    """All parameters within 1e-5, relative, of the recorded ones."""
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            error = relative_error(blob.data, case[f"{when}_{layer}_{i}"])
            assert error <= 1e-5, f"{when} {layer} {i}: {error}"
