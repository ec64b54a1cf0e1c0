"""Data: images and class numbers from a database."""

from collections.abc import Iterator

import numpy as np

from caffe.data import database, datum
from caffe.data.batch_layer import BatchLayer
from caffe.data.transformer import Draw
from caffe.proto import caffe_pb2
from caffe.registry import register


@register("Data")
class Data(BatchLayer):
    """The next `batch_size` records of the database `source`, in the order of their keys.

    tops: data (N, C, H, W), the Datums' images, raw or encoded, after transform_param (see
    caffe/data/transformer.py); optionally label (N), the Datums' integers. Encoded images have as
    many channels as their file says, or 3 with `force_color` (of transform_param) or
    `force_encoded_color`, 1 with `force_gray`; raw ones have the channels they have.
    `backend`: LEVELDB, unless the net says LMDB; `rand_skip`: start 0 to rand_skip - 1 records
    later, drawn by chance; `prefetch`: how many batches to load ahead.
    Source: Caffe's DataLayer. Raises CaffeError naming the database and the record that is damaged,
    no Datum or of another size than the first of its batch.
    """

    tops = (1, 2)

    def setup(self) -> None:
        self.param = param = self.layer_param.data_param
        self.refuse_moved(param, "data_param")
        self.batch_size, self.ahead = param.batch_size, max(1, param.prefetch)
        transform = self.layer_param.transform_param
        self.color = False if transform.force_gray else None
        if transform.force_color or param.force_encoded_color:
            self.color = True
        super().setup()

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        skip = int(self.rng.integers(self.param.rand_skip)) if self.param.rand_skip else 0
        backend = caffe_pb2.DataParameter.DB.Name(self.param.backend).lower()
        return database.records(database.open_database(self.param.source, backend), skip)

    def where(self, record: tuple[bytes, bytes]) -> str:
        return f"{self.param.source}: record {record[0].decode(errors='replace')}"

    def load(self, record: tuple[bytes, bytes], draw: Draw) -> tuple[np.ndarray, ...]:
        pixels, label = datum.read(record[1], self.color)
        return self.transformer(pixels, draw), np.array(label, np.float32)
