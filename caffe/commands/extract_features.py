"""extract_features: put what a net computes, blob by blob, into databases of Datums."""

import argparse
import difflib
import logging
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from caffe import launch
from caffe.blob import Blob
from caffe.commands.common import Parser, run
from caffe.data.database_writer import BACKENDS, DatabaseWriter
from caffe.errors import CaffeError
from caffe.net import Net
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


class _Feature:
    """One blob of the net and the database that its rows go to."""

    def __init__(self, name: str, blob: Blob, database: DatabaseWriter) -> None:
        self.name, self._blob, self._database = name, blob, database
        self.count = 0

    def put_batch(self) -> None:
        """Write a Datum for each item of the batch: the item's numbers as float_data."""
        blob = self._blob
        sizes = {"channels": blob.channels, "height": blob.height, "width": blob.width}
        for row in np.reshape(blob.data, (blob.num, -1)):
            datum = caffe_pb2.Datum(**sizes, float_data=row)
            self._database.put(b"%010d" % self.count, datum.SerializeToString())
            self.count += 1
            if self.count % 1000 == 0:
                self.log()

    def log(self) -> None:
        text = "Extracted features of %d query images for feature blob %s"
        _log.info(text, self.count, self.name)


def _pairs(args: argparse.Namespace, net: Net) -> list[tuple[str, str]]:
    """(blob, database) by name."""
    blobs, databases = args.blob_names.split(","), args.dataset_names.split(",")
    if len(blobs) != len(databases):
        raise CaffeError(
            f"expected as many databases as blobs, got {len(databases)} and {len(blobs)}"
        )
    for name in blobs:
        if name not in net.blobs:
            near = difflib.get_close_matches(name, net.blobs, n=5, cutoff=0)
            raise CaffeError(
                f"Unknown feature blob name {name} in the network {args.net}; it has "
                f"{', '.join(near)}, ..."
            )
        if len(net.blobs[name].shape) > 4:
            shape = net.blobs[name].shape
            raise CaffeError(f'blob "{name}": a Datum has at most (N, C, H, W), got {shape}')
    return list(zip(blobs, databases, strict=True))


def extract(args: argparse.Namespace) -> None:
    """Extract what the command line names."""
    if args.num_mini_batches < 1:
        raise CaffeError(f"num_mini_batches: expected at least 1, got {args.num_mini_batches}")
    on_gpu = args.mode == "GPU"
    launch.choose_device(args.device_id if on_gpu else None)
    _log.info("%s", f"Using Device_id={args.device_id}" if on_gpu else "Using CPU")
    net = Net(args.net, args.weights, caffe_pb2.TEST)
    with ExitStack() as stack:
        features = [
            _Feature(name, net.blobs[name], stack.enter_context(DatabaseWriter(path, args.db_type)))
            for name, path in _pairs(args, net)
        ]
        _log.info("Extracting Features")
        for _ in range(args.num_mini_batches):
            net.forward()
            for feature in features:
                feature.put_batch()
    for feature in features:
        feature.log()
    _log.info("Successfully extracted the features!")


def _parser() -> Parser:
    epilog = "Example: extract_features w.caffemodel net.prototxt fc7 features_lmdb 10 lmdb"
    parser = Parser("extract_features", description=__doc__, epilog=epilog)
    add = parser.add_argument
    add("weights", metavar="pretrained_net_param", help="the .caffemodel")
    add("net", metavar="feature_extraction_proto_file", help="the net, with its data layer")
    add("blob_names", metavar="extract_feature_blob_name1[,name2,...]", help="what to extract")
    add("dataset_names", metavar="save_feature_dataset_name1[,name2,...]", help="databases to make")
    add("num_mini_batches", type=int, help="how many batches to run")
    add("db_type", choices=BACKENDS, help="kind of database: lmdb or leveldb")
    add("mode", metavar="CPU/GPU", nargs="?", choices=["CPU", "GPU"], default="CPU", help="(CPU)")
    add("device_id", metavar="DEVICE_ID", nargs="?", type=int, default=0, help="the GPU (0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    return run(_parser(), extract, argv)
