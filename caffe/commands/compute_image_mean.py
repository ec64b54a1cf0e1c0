"""compute_image_mean: the mean of a database's images, for transform_param's mean_file."""

import argparse
import logging
from collections.abc import Sequence

import numpy as np

from caffe.commands.common import Parser, run
from caffe.data import database, datum
from caffe.data.database_writer import BACKENDS
from caffe.errors import CaffeError
from caffe.files import write_atomic
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


def mean_image(path: str, backend: str) -> np.ndarray:
    """The mean (C, H, W) of all images of a database, in float64.

    Raises CaffeError naming the record that is no Datum or of another size than the first.
    """
    total, count = None, 0
    for key, value in database.open_database(path, backend):
        where = f"{path}: record {key.decode(errors='replace')}"
        try:
            pixels, _ = datum.read(value, color=None)
        except CaffeError as error:
            raise CaffeError(f"{where}: {error}") from None
        planes = pixels.transpose(2, 0, 1)
        if total is None:
            total = np.zeros(planes.shape)
        if planes.shape != total.shape:
            raise CaffeError(
                f"{where}: expected an image (C, H, W) of {total.shape} like the first, got "
                f"{planes.shape}; write the database with -resize_width and -resize_height"
            )
        total += planes
        count += 1
        if count % 10000 == 0:
            _log.info("Processed %d files.", count)
    if count % 10000:
        _log.info("Processed %d files.", count)
    assert total is not None, "open_database refuses empty ones"
    return total / count


def compute(args: argparse.Namespace) -> None:
    """Compute and write what the command line names."""
    _log.info("Starting iteration")
    mean = mean_image(args.input_db, args.backend)
    if args.output_file:
        channels, height, width = mean.shape
        proto = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        proto.data.extend(mean.ravel())
        _log.info("Write to %s", args.output_file)
        write_atomic(args.output_file, proto.SerializeToString())
    _log.info("Number of channels: %d", len(mean))
    for channel, plane in enumerate(mean):
        _log.info("mean_value channel [%d]: %g", channel, plane.mean())


def _parser() -> Parser:
    epilog = "Example: compute_image_mean train_lmdb mean.binaryproto"
    parser = Parser("compute_image_mean", description=__doc__, epilog=epilog)
    add = parser.add_argument
    add("input_db", metavar="INPUT_DB", help="a database, as of convert_imageset")
    add("output_file", metavar="OUTPUT_FILE", nargs="?", help="the .binaryproto to write")
    add("--backend", choices=BACKENDS, default="lmdb", help="kind of database (default: lmdb)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    return run(_parser(), compute, argv)
