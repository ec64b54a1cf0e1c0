"""What a net gives on some batches, and how Caffe logs it."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from caffe.net import Net


def batches(net: Net, count: int) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    """(loss, outputs by name) of so many forward passes, without gradients."""
    for _ in range(count):
        with torch.no_grad():
            loss = net._forward(0, len(net.layers) - 1)
        yield loss, {name: net.blobs[name].data for name in net.outputs}


class Mean:
    """The means over the batches that were added."""

    def __init__(self) -> None:
        self._count, self._loss = 0, 0.0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, loss: float, outputs: Mapping[str, np.ndarray]) -> None:
        self._count += 1
        self._loss += loss
        for name, array in outputs.items():
            self._sums[name] = self._sums.get(name, 0) + array.astype(np.float64)

    @property
    def loss(self) -> float:
        return self._loss / self._count

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        return {name: total / self._count for name, total in self._sums.items()}


def output_lines(net: Net, outputs: Mapping[str, np.ndarray]) -> Iterator[str]:
    """`name = value`, with ` (* weight = product loss)` for a loss, for every number."""
    weights = net.blob_loss_weights
    for name, array in outputs.items():
        weight = weights[name]
        for value in array.ravel():
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            yield f"{name} = {value:g}{loss}"
