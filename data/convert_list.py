"""Convert between a prepared set and the released text list, one image per line:

image_path y1 .. yK x1 y1 x2 y2 score x1 y1 x2 y2 score ...

Blanks separate the columns; labels are 0 or 1; boxes are inclusive pixel corners, in the image or,
with --frame, in the image resized to that size (the released lists: 672x672). With --score one a
list has no scores, only x1 y1 x2 y2, and each box counts alike.
"""

import argparse
import array
import pathlib
import tempfile

import numpy as np
from prepared import (
    Sample,
    full_disk_named,
    own_folder,
    prepare_set,
    read_lines,
    read_names,
    run_tool,
    write_proposals,
)
from tqdm import tqdm

from python_layers.array_file import DataError, atomic_file
from python_layers.boxes import check_boxes, scale_boxes
from python_layers.prepared_set import PreparedSet

SCORE_COLUMNS = {"own": 5, "one": 4}


def parse_line(line, labels, where, columns=5):
    """(image path, labels (K,) uint8, boxes (n,5) float32) of one line.

    `columns` per box: 5, or 4 where the list has no scores; those of the boxes are 1 then.
    """
    image, *values = line.split()
    if len(values) < labels or (len(values) - labels) % columns:
        raise DataError(
            f"{where}: expected a path, {labels} labels and {columns} columns per box, got "
            f"{len(values) + 1} columns; check the number of classes and the end of the line"
            + ("; a list without scores needs --score one" if columns == 5 else "")
        )
    for number, label in enumerate(values[:labels], 1):
        if label not in ("0", "1"):
            raise DataError(f"{where}: label {number}: expected 0 or 1, got {label}; correct it")
    try:
        boxes = np.array(values[labels:], np.float32).reshape(-1, columns)
    except ValueError as error:
        raise DataError(f"{where}: expected numbers for the boxes: {error}; correct it") from None
    if columns == 4:
        boxes = np.pad(boxes, ((0, 0), (0, 1)), constant_values=1)
    return image, np.array(values[:labels], np.uint8), boxes


class Spool:
    """The boxes of a list, in an open file, until their number is known."""

    def __init__(self, file):
        self.file, self.counts = file, array.array("l")

    def append(self, boxes):
        self.file.write(boxes.tobytes())
        self.counts.append(len(boxes))

    def __iter__(self):
        self.file.seek(0)
        for count in self.counts:
            content = self.file.read(count * 5 * np.dtype(np.float32).itemsize)
            yield np.frombuffer(content, np.float32).reshape(-1, 5)


def parsed_lines(path, labels, columns):
    """(where, image, labels, boxes) of each line; empty lines are passed over but counted."""
    for number, line in tqdm(read_lines(path), "lines", unit="line"):
        if line.strip():
            where = f"{path}:{number}"
            yield where, *parse_line(line, labels, where, columns)


def fitted(spool, places, samples, prepared, frame):
    """The boxes of the prepared images, checked and in the frame of those."""
    sizes = dict(zip(prepared.images, prepared.sizes.tolist(), strict=True))
    for boxes, where, sample in zip(spool, places, samples, strict=True):
        size = sizes.get(sample.image)
        if size:
            check_boxes(boxes, *(frame or size), where)
            yield scale_boxes(boxes, frame, size) if frame else boxes


def import_list(path, images, classes, out, frame, columns=5, skip_unreadable=False):
    """Write the prepared set `out`, proposals included, of the list at `path`."""
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    samples, places = [], []
    with full_disk_named(out), tempfile.TemporaryFile(dir=out) as file:
        spool = Spool(file)
        for where, image, labels, boxes in parsed_lines(path, len(classes), columns):
            samples.append(Sample(image, labels))
            places.append(where)
            spool.append(boxes)
        prepare_set(out, images, samples, classes, path, skip_unreadable, keep_unlabelled=True)
        prepared = PreparedSet(out)
        boxes = fitted(spool, places, samples, prepared, frame)
        meta = {"images_sha256": prepared.images_sha256, "settings": {"method": "list"}}
        with own_folder(out):
            target, limit = prepared.folder / "proposals.arr", max(spool.counts)
            write_proposals(target, boxes, limit, meta, len(prepared))


def number_text(value):
    """The shortest text that reads back as this very float32."""
    return np.format_float_positional(value, unique=True, trim="-")


def export_list(path, folder, frame, columns=5):
    """Write the list of the prepared set in `folder`; every image with all its stored boxes."""
    prepared = PreparedSet(folder)
    with full_disk_named(path), atomic_file(path) as file:
        for index, image in enumerate(tqdm(prepared.images, "lines", unit="line")):
            if len(image.split()) != 1:
                raise DataError(
                    f"{folder}: image {image!r}: expected a path without blanks: blanks separate "
                    "the columns of the list; rename the file"
                )
            boxes = prepared.proposals(index, prepared.boxes_stored)
            boxes = scale_boxes(boxes, tuple(prepared.sizes[index]), frame) if frame else boxes
            numbers = map(number_text, boxes[:, :columns].ravel())
            row = [image, *map(str, prepared.labels[index]), *numbers]
            file.write(" ".join(row).encode() + b"\n")


def frame_size(text):
    """An argparse type: (width, height) of `WIDTHxHEIGHT`."""
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, such as 672x672, got {text!r}")
    return width, height


def class_names(text):
    """The names in a file, one per line; or for a number K the names 1..K."""
    if text.isdecimal():
        return [str(number) for number in range(1, int(text) + 1)]
    return read_names(text)


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: python data/convert_list.py --import-list train.txt --images images "
        "--classes names.txt --set data/mine/train",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--import-list", metavar="LIST", help="list to read (--images, --classes)")
    way.add_argument("--export-list", metavar="LIST", help="list to write")
    parser.add_argument("--set", required=True, help="folder of the prepared set")
    parser.add_argument("--images", help="folder that the list's paths start from")
    parser.add_argument("--classes", help="file with one class name per line, or their number")
    parser.add_argument("--frame", type=frame_size, help="WxH that the list's boxes refer to")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave such images out instead of stopping"
    )
    parser.add_argument("--score", choices=SCORE_COLUMNS, default="own", help="see above (own)")
    options = parser.parse_args(argv)
    columns = SCORE_COLUMNS[options.score]
    if options.export_list:
        export_list(options.export_list, options.set, options.frame, columns)
        return
    if not (options.images and options.classes):
        parser.error("--import-list needs --images and --classes")
    classes = class_names(options.classes)
    source, frame, skip = options.import_list, options.frame, options.skip_unreadable
    import_list(source, options.images, classes, options.set, frame, columns, skip)


if __name__ == "__main__":
    run_tool(main)
