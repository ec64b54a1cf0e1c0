"""Convert between a prepared set and the released text list, one image per line:

image_path y1 .. yK x1 y1 x2 y2 score x1 y1 x2 y2 score ...

Blanks separate the columns; labels are 0 or 1; boxes are inclusive pixel corners, in the image or,
with --frame, in the image resized to that size (the released lists: 672x672).
"""

import argparse
import pathlib

import numpy as np
from prepared import image_sizes, read_text, run_tool, write_proposals, write_set
from tqdm import tqdm

from python_layers.array_file import DataError, atomic_file
from python_layers.boxes import check_boxes, scale_boxes
from python_layers.prepared_set import PreparedSet


def parse_line(line, labels, where):
    """(image path, labels (K,) uint8, boxes (n,5) float32) of one line."""
    image, *columns = line.split()
    if len(columns) < labels or (len(columns) - labels) % 5:
        raise DataError(
            f"{where}: expected a path, {labels} labels and 5 columns per box, got "
            f"{len(columns) + 1} columns; check the number of classes and the end of the line"
        )
    for number, label in enumerate(columns[:labels], 1):
        if label not in ("0", "1"):
            raise DataError(f"{where}: label {number}: expected 0 or 1, got {label}; correct it")
    try:
        boxes = np.array(columns[labels:], np.float32).reshape(-1, 5)
    except ValueError as error:
        raise DataError(f"{where}: expected numbers for the boxes: {error}; correct it") from None
    return image, np.array(columns[:labels], np.uint8), boxes


def read_lines(path, labels):
    """The lines of a list, parsed; empty lines are passed over but counted."""
    for number, line in enumerate(tqdm(read_text(path).split("\n"), "lines", unit="line"), 1):
        if line.strip():
            yield f"{path}:{number}", *parse_line(line, labels, f"{path}:{number}")


def import_list(path, images, classes, out, frame):
    """Write the prepared set `out`, proposals included, of the list at `path`."""
    rows = list(read_lines(path, len(classes)))
    names = [row[1] for row in rows]
    sizes = image_sizes([pathlib.Path(images, name) for name in names], skip_unreadable=False)
    proposals, limit = [], max((len(row[3]) for row in rows), default=0)
    for (where, _, _, boxes), size in zip(rows, sizes, strict=True):
        check_boxes(boxes, *(frame or size), where)
        proposals.append(scale_boxes(boxes, frame, size) if frame else boxes)
    counts = {"raw": len(rows), "without_labels": 0, "unreadable": 0, "kept": len(rows)}
    labels, no_truth = [row[2] for row in rows], [np.zeros((0, 5), np.float32)] * len(rows)
    write_set(out, images, names, classes, labels, sizes, no_truth, counts)
    meta = {"images_sha256": PreparedSet(out).images_sha256, "settings": {"method": "list"}}
    write_proposals(pathlib.Path(out, "proposals.arr"), proposals, limit, meta)


def number_text(value):
    """The shortest text that reads back as this very float32."""
    return np.format_float_positional(value, unique=True, trim="-")


def export_list(path, folder, frame):
    """Write the list of the prepared set in `folder`; every image with all its stored boxes."""
    prepared = PreparedSet(folder)
    with atomic_file(path) as file:
        for index, image in enumerate(tqdm(prepared.images, "lines", unit="line")):
            if len(image.split()) != 1:
                raise DataError(
                    f"{folder}: image {image!r}: expected a path without blanks: blanks separate "
                    "the columns of the list; rename the file"
                )
            boxes = prepared.proposals(index, prepared.boxes_stored)
            boxes = scale_boxes(boxes, tuple(prepared.sizes[index]), frame) if frame else boxes
            columns = [image, *map(str, prepared.labels[index]), *map(number_text, boxes.ravel())]
            file.write(" ".join(columns).encode() + b"\n")


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
    """The names in a file, one per line; or for a number K the names 1..K.

    DataError for a blank line before the last name, or no name at all.
    """
    if text.isdecimal():
        return [str(number) for number in range(1, int(text) + 1)]
    names = [name.strip() for name in read_text(text).rstrip().split("\n")]
    if "" in names:
        raise DataError(f"{text}:{names.index('') + 1}: expected the name of a class, got none")
    return names


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--import-list", metavar="LIST", help="list to read (--images, --classes)")
    way.add_argument("--export-list", metavar="LIST", help="list to write")
    parser.add_argument("--set", required=True, help="folder of the prepared set")
    parser.add_argument("--images", help="folder that the list's paths start from")
    parser.add_argument("--classes", help="file with one class name per line, or their number")
    parser.add_argument("--frame", type=frame_size, help="WxH that the list's boxes refer to")
    options = parser.parse_args(argv)
    if options.export_list:
        export_list(options.export_list, options.set, options.frame)
        return
    if not (options.images and options.classes):
        parser.error("--import-list needs --images and --classes")
    classes = class_names(options.classes)
    import_list(options.import_list, options.images, classes, options.set, options.frame)


if __name__ == "__main__":
    run_tool(main)
