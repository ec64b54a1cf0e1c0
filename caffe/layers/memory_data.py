"""MemoryData: batches from arrays that the user's program holds."""

import logging

import numpy as np
import torch

from caffe.layer import Layer, Shape
from caffe.registry import register

_log = logging.getLogger("caffe")


@register("MemoryData")
class MemoryData(Layer):
    """The next N = `batch_size` items of the arrays given to `reset`, round and round.

    tops: data (N, C, H, W) with `channels`, `height`, `width`; label (N).
    The arrays are not copied: what is written into them is in the batches that follow. As in Caffe
    transform_param does nothing to arrays; the log says so.
    Source: Caffe's MemoryDataLayer, of which pycaffe shows Net.set_input_arrays.
    """

    bottoms = 0
    tops = 2

    def setup(self) -> None:
        param = self.layer_param.memory_data_param
        self.shape = (param.batch_size, param.channels, param.height, param.width)
        if not all(self.shape):
            self.fail(
                "batch_size, channels, height, and width must be specified and positive in "
                f"memory_data_param, got {self.shape}"
            )
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None
        self._position = 0

    def top_shapes(self) -> list[Shape]:
        return [self.shape, self.shape[:1]]

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Take the items of the next batches and start with the first.

        data (n, C, H, W), labels (n) or (n, 1, 1, 1): C-contiguous float32, n a multiple of N.
        """
        batch, *item = self.shape
        for array in (data, labels):
            if not isinstance(array, np.ndarray):
                self.fail(f"data and labels must be numpy arrays, got {type(array).__name__}")
        if labels.ndim == 1:
            labels = np.ascontiguousarray(labels).reshape(-1, 1, 1, 1)
        self._check(data, "data", item)
        self._check(labels, "labels", [1, 1, 1])
        if len(data) != len(labels):
            self.fail(
                f"data and labels must have the same first dimension, got {len(data)} and "
                f"{len(labels)}"
            )
        if not len(data) or len(data) % batch:
            self.fail(
                "first dimensions of input arrays must be a multiple of batch size, "
                f"{batch}, got {len(data)}"
            )
        if self.layer_param.HasField("transform_param"):
            _log.warning('layer "%s": MemoryData does not transform arrays', self.name)
        self._arrays = data, labels.reshape(-1)
        self._position = 0

    def _check(self, array: np.ndarray, what: str, item: list[int]) -> None:
        wanted = f"{what} array: expected C-contiguous float32 of shape {('n', *item)}"
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            order = "" if array.flags.c_contiguous else " that is not C-contiguous"
            self.fail(
                f"{wanted}, got {array.dtype}{order}; use np.ascontiguousarray(x, np.float32)"
            )
        if array.ndim != 4 or list(array.shape[1:]) != item:
            self.fail(f"{wanted}, got {array.shape}")

    def forward(self) -> tuple[torch.Tensor, ...]:
        if self._arrays is None:
            self.fail("has no data; call net.set_input_arrays(data, labels) first")
        start = self._position
        self._position = (start + self.shape[0]) % len(self._arrays[0])
        parts = (array[start : start + self.shape[0]] for array in self._arrays)
        # Copies, so that what is written into the tops stays out of the user's arrays.
        return tuple(torch.from_numpy(part.copy()).to(self._device) for part in parts)
