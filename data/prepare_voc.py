"""Prepare a split of PASCAL VOC from VOCdevkit/VOC<year>: lists, XML annotations, images.

A label is 1 where the image shows an object of the class that is not marked difficult. Difficult
objects stay in the ground truth, marked, for a detection score that ignores them. Images without
a label are kept: VOC scores a split as a whole. See data/README.md.
"""

import argparse
import pathlib
import xml.etree.ElementTree as ET

import numpy as np
from prepared import (
    Sample,
    add_preparation,
    check_names,
    fit_boxes,
    prepare_set,
    print_counts,
    read_names,
    run_tool,
)
from tqdm import tqdm

from python_layers.array_file import DataError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def find_year(devkit, year):
    """The folder VOC<year> of the development kit; DataError saying which years are there."""
    folder = pathlib.Path(devkit, f"VOC{year}")
    if not folder.is_dir():
        there = sorted(path.name for path in pathlib.Path(devkit).glob("VOC*"))
        raise DataError(
            f"{devkit}: expected the folder VOC{year}, got {', '.join(there) or 'none'}; unpack "
            "the archive of that year, or name another one with --year"
        )
    return folder


def read_split(folder, split):
    """The image ids of ImageSets/Main/<split>.txt."""
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        there = sorted(file.stem for file in path.parent.glob("*.txt") if "_" not in file.stem)
        raise DataError(
            f"{path}: no such file; the splits here: {', '.join(there) or 'none'}; unpack the "
            "archive of that split (the test split has its own)"
        )
    names = read_names(path)
    check_names(names, path)
    return names


def text_of(element, name, where):
    """The text of a child element; DataError if there is none."""
    text = element.findtext(name)
    if text is None or not text.strip():
        raise DataError(f"{where}: expected <{name}> in <{element.tag}>, got none; correct it")
    return text.strip()


def number_of(element, name, where):
    """The number in a child element; DataError for another text."""
    text = text_of(element, name, where)
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: <{name}>: expected a number, got {text!r}; correct it") from None


def read_object(element, where):
    """[x1, y1, x2, y2, class, difficult] of an <object>; VOC counts pixels from 1."""
    name = text_of(element, "name", where)
    if name not in CLASSES:
        raise DataError(f"{where}: expected one of VOC's 20 classes, got {name!r}; correct it")
    box = element.find("bndbox")  # not that of a <part>: those are deeper
    if box is None:
        raise DataError(f"{where}: {name}: expected <bndbox>, got none; correct it")
    corners = [number_of(box, corner, where) - 1 for corner in CORNERS]
    difficult = element.findtext("difficult", "0").strip() == "1"
    return [*corners, CLASSES.index(name), difficult]


def read_annotation(path, image, year):
    """The Sample of one XML file."""
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; unpack the archive of its split") from None
    except ET.ParseError as error:
        raise DataError(
            f"{path}: expected an XML annotation, got: {error}; fetch it again"
        ) from None
    folder = root.findtext("folder", "").strip()
    if folder not in ("", f"VOC{year}"):
        raise DataError(
            f"{path}: expected an annotation of VOC{year}, got one of {folder}; fetch it again"
        )
    element = root.find("size")
    if element is None:
        raise DataError(f"{path}: expected <size>, got none; correct it")
    size = tuple(int(number_of(element, side, path)) for side in ("width", "height"))
    objects = enumerate(root.iterfind("object"), 1)
    rows = [read_object(entry, f"{path}: object {number}") for number, entry in objects]
    rows = np.array(rows, np.float32).reshape(-1, 6)
    rows[:, :4] = fit_boxes(rows[:, :4], size, lambda row: f"{path}: object {row + 1}")
    labels, difficult = np.zeros(len(CLASSES), np.uint8), rows[:, 5].astype(np.uint8)
    labels[rows[difficult == 0, 4].astype(int)] = 1
    return Sample(image, labels, size, rows[:, [4, 0, 1, 2, 3]], difficult)


def prepare_voc(devkit, year, split, out, **options):
    """Write the prepared set and return its counts; options as in prepared.prepare_set."""
    folder = find_year(devkit, year)
    ids = read_split(folder, split)
    samples = [
        read_annotation(folder / "Annotations" / f"{name}.xml", f"{name}.jpg", year)
        for name in tqdm(ids, "annotations", unit="file")
    ]
    where = folder / "Annotations"
    options["keep_unlabelled"] = True
    return prepare_set(out, folder / "JPEGImages", samples, CLASSES, where, **options)


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python data/prepare_voc.py --devkit VOCdevkit --split trainval "
        "--out data/voc2007/train",
    )
    parser.add_argument("--devkit", required=True, help="folder VOCdevkit")
    parser.add_argument("--year", default="2007", help="(2007)")
    parser.add_argument("--split", required=True, help="train, val, trainval, test")
    add_preparation(parser, keep_unlabelled=False)
    options = parser.parse_args(argv)
    print_counts(options.out, prepare_voc(**vars(options)))


if __name__ == "__main__":
    run_tool(main)
