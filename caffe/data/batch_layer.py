"""The base class of layers that make batches from a list or a database."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from google.protobuf.message import Message

from caffe import parallel
from caffe.data.prefetch import Prefetch
from caffe.data.transformer import Draw, Transformer
from caffe.errors import CaffeError
from caffe.layer import Count, Layer, Shape
from caffe.proto import caffe_pb2


class BatchLayer(Layer, ABC):
    """Tops (N, ...) stacked from N records, loaded ahead in threads.

    Subclasses set `batch_size` and say what the records are and how to load one. The layer has a
    random generator of its own, seeded from numpy's global one at construction: after
    `caffe.set_random_seed` the same net gives the same batches, whatever else draws numbers.
    Where several processes train together (see caffe/parallel.py), each takes its share.
    """

    bottoms = 0
    tops: Count = 2
    batch_size = 1
    ahead = 4  # batches

    @abstractmethod
    def records(self) -> Iterator[Any]:
        """The records in the order of their use, without end; runs in the net's thread."""

    @abstractmethod
    def load(self, record: Any, draw: Draw) -> tuple[np.ndarray, ...]:
        """One record's part of every top; runs in any thread."""

    @abstractmethod
    def where(self, record: Any) -> str:
        """The place of a record in its source, for error messages."""

    def refuse_moved(self, param: Message, name: str) -> None:
        """Fail if `param` asks for what Caffe long moved to transform_param and ignores here."""
        default = type(param)()
        for field in ("scale", "mean_file", "crop_size", "mirror"):
            if getattr(param, field) != getattr(default, field):
                self.fail(f"{name}.{field} has no effect; put it in transform_param")

    def setup(self) -> None:
        if not self.batch_size:
            self.fail("expected a batch_size of at least 1, got 0")
        self.rng = np.random.default_rng(np.random.randint(2**31))
        try:
            self.transformer = Transformer(self.layer_param.transform_param, self.phase)
        except CaffeError as error:
            self.fail(str(error))
        rank, count = parallel.share() if self.phase == caffe_pb2.TRAIN else (0, 1)
        records = islice(self.records(), rank, None, count)
        first = next(records)
        self._shapes = [array.shape for array in self._batch([(first, Draw())])]
        self._records = chain([first], records)
        self._prefetch = Prefetch(self._jobs(), self.ahead)

    def plan(self) -> list[tuple[Any, Draw]]:
        """The next batch's records with their random choices."""
        draw, rng = self.transformer.draw, self.rng
        return [(next(self._records), draw(rng)) for _ in range(self.batch_size)]

    def _jobs(self) -> Iterator[Callable[[], list[np.ndarray]]]:
        while True:
            yield partial(self._batch, self.plan())

    def _load(self, record: Any, draw: Draw) -> tuple[np.ndarray, ...]:
        try:
            return self.load(record, draw)
        except CaffeError as error:
            self.fail(f"{self.where(record)}: {error}")

    def _batch(self, plan: list[tuple[Any, Draw]]) -> list[np.ndarray]:
        batch: list[np.ndarray] = []
        for number, (record, draw) in enumerate(plan):
            arrays = self._load(record, draw)
            if not batch:
                batch = [np.empty((len(plan), *array.shape), array.dtype) for array in arrays]
            if arrays[0].shape != batch[0].shape[1:]:
                self.fail(
                    f"{self.where(record)}: expected an image (C, H, W) of {batch[0].shape[1:]} "
                    f"like the first of its batch, got {arrays[0].shape}; resize or crop the images"
                )
            for values, array in zip(batch, arrays, strict=True):
                values[number] = array
        return batch

    def top_shapes(self) -> list[Shape]:
        shapes = [(self.batch_size, *shape[1:]) for shape in self._shapes]
        return shapes[: len(self.layer_param.top)]

    def forward(self) -> tuple[torch.Tensor, ...]:
        arrays = next(self._prefetch)[: len(self.layer_param.top)]
        return tuple(torch.from_numpy(array).to(self._device) for array in arrays)
