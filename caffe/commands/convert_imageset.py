"""convert_imageset: put the images of a list into a database that Data layers read."""

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from caffe.commands.common import Parser, Switch, run
from caffe.data import image
from caffe.data.database_writer import BACKENDS, DatabaseWriter
from caffe.data.image_list import Lines
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

_log = logging.getLogger("caffe")


class _Entry(NamedTuple):
    name: str
    label: int


def _entries(path: str) -> list[_Entry]:
    """The list's lines `name label`; a name may have spaces in it."""
    entries = []
    for place, text in Lines(path):
        name, _, label = text.rpartition(" ")
        try:
            entries.append(_Entry(name.strip(), int(label)))
            caffe_pb2.Datum(label=entries[-1].label)  # 32 bits
        except ValueError:
            raise CaffeError(
                f'{place}: expected a file name and a whole number, its label, got "{text}"'
            ) from None
    return entries


def _encode(pixels: np.ndarray, path: str, kind: str) -> bytes:
    """The image as a file of `kind`: "png", "jpg" and whatever else OpenCV writes."""
    try:
        done, content = cv2.imencode(f".{kind}", pixels)
    except cv2.error:
        done = False
    if not done:
        raise CaffeError(f'{path}: cannot encode as "{kind}"; give -encode_type jpg or png')
    return content.tobytes()


def _datum(path: str, label: int, args: argparse.Namespace) -> tuple[caffe_pb2.Datum, tuple]:
    """The image file as a Datum, and its size (C, H, W)."""
    pixels = image.read(path, color=not args.gray)
    suffix = os.path.splitext(path)[1].lower().removeprefix(".")
    if args.resize_width:
        pixels = image.resize(pixels, args.resize_height, args.resize_width)
    size = (pixels.shape[2], *pixels.shape[:2])
    if not args.encoded and not args.encode_type:
        channels, height, width = size
        planes = pixels.transpose(2, 0, 1).tobytes()
        sizes = {"channels": channels, "height": height, "width": width}
        return caffe_pb2.Datum(**sizes, data=planes, label=label, encoded=False), size
    kind = args.encode_type or suffix
    if not args.resize_width and _same_format(kind, suffix):
        with open(path, "rb") as file:  # the file itself, as nothing about it changes
            return caffe_pb2.Datum(data=file.read(), label=label, encoded=True), size
    return caffe_pb2.Datum(data=_encode(pixels, path, kind), label=label, encoded=True), size


def _same_format(one: str, other: str) -> bool:
    return one == other or {one, other} == {"jpg", "jpeg"}


def _records(entries: list[_Entry], args: argparse.Namespace) -> Iterator[tuple[bytes, bytes]]:
    """(key, Datum) of every image that can be read; the others are logged and left out."""
    first = None
    for number, (name, label) in enumerate(entries):
        path = args.root_folder + name  # no separator: the original has none either
        try:
            datum, size = _datum(path, label, args)
        except CaffeError as error:
            _log.error("%s", error)
            continue
        first = first or size
        if args.check_size and size != first:
            raise CaffeError(
                f"{path}: expected an image (C, H, W) of {first} like the first, got {size}; give "
                "-resize_width and -resize_height, or leave out -check_size"
            )
        yield f"{number:08d}_{name}".encode(), datum.SerializeToString()


def convert(args: argparse.Namespace) -> None:
    """Convert what the command line names."""
    if (args.resize_width > 0) != (args.resize_height > 0):
        raise CaffeError("expected both -resize_width and -resize_height, or neither")
    entries = _entries(args.list_file)
    if args.shuffle:
        _log.info("Shuffling data")
        np.random.default_rng().shuffle(entries)
    _log.info("A total of %d images.", len(entries))
    done = 0
    with DatabaseWriter(args.db_name, args.backend) as database:
        for key, value in _records(entries, args):
            database.put(key, value)
            done += 1
            if done % 1000 == 0:
                _log.info("Processed %d files.", done)
        if not done:
            raise CaffeError(
                f"{args.list_file}: none of its images could be read under "
                f'"{args.root_folder}" (a folder must end with /)'
            )
    _log.info("Processed %d files.", done)
    if done < len(entries):
        _log.error("Left out %d images that could not be read.", len(entries) - done)


def _parser() -> Parser:
    epilog = (
        "Example: convert_imageset --resize_height 256 --resize_width 256 images/ list.txt lmdb"
    )
    parser = Parser("convert_imageset", description=__doc__, epilog=epilog)
    add = parser.add_argument
    add("root_folder", metavar="ROOTFOLDER/", help="put in front of every name of the list")
    add("list_file", metavar="LISTFILE", help="a file name and a label (a whole number) per line")
    add("db_name", metavar="DB_NAME", help="the database to make")
    add("--gray", action=Switch, help="read images as gray ones")
    add("--shuffle", action=Switch, help="shuffle the list first")
    add("--backend", choices=BACKENDS, default="lmdb", help="kind of database (default: lmdb)")
    add("--resize_width", type=int, default=0, metavar="W", help="resize images to this width")
    add("--resize_height", type=int, default=0, metavar="H", help="and to this height")
    add("--check_size", action=Switch, help="stop where an image has another size than the first")
    add("--encoded", action=Switch, help="store image files, not pixels")
    add(
        "--encode_type",
        default="",
        metavar="TYPE",
        help="the same, as png, jpg, ... (default for --encoded: as each file's name ends)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    return run(_parser(), convert, argv)
