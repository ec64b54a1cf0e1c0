"""What the layers' tests compared with what, noted while they run, for the table in docs/."""

from typing import NamedTuple


class Golden(NamedTuple):
    """One golden case replayed: the largest relative errors of its tops and of its gradients."""

    layer: str
    case: str
    outputs: float
    gradients: float | None  # the original computes none


class Gradient(NamedTuple):
    """One analytic gradient against a central difference in float64: the relative error."""

    layer: str
    error: float


class Export(NamedTuple):
    """One layer in another format: the largest relative error of its tops there."""

    layer: str
    to: str
    error: float


GOLDEN: list[Golden] = []
GRADIENTS: list[Gradient] = []
EXPORTS: list[Export] = []
