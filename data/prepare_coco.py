"""Prepare a set with COCO instance annotations: MS-COCO itself, or the demo set.

A label is 1 where the image has an annotation of the class, crowds included; classes are in the
order of their category id. Images without a label are left out. See data/README.md.
"""

import argparse
import collections
import contextlib
import io
import pathlib

import numpy as np
from prepared import Sample, add_preparation, fit_boxes, prepare_set, print_counts, run_tool
from pycocotools.coco import COCO

from python_layers.array_file import DataError

KEYS = {
    "annotations": ("id", "category_id", "image_id", "bbox"),
    "categories": ("id", "name"),
    "images": ("id", "file_name", "width", "height"),
}
NUMBER = (int, float), "a number"
TEXT = str, "a text"
KINDS = {"file_name": TEXT, "name": TEXT, "width": NUMBER, "height": NUMBER}


def check_entries(coco, path):
    """DataError for an entry that lacks a key, a value of a wrong type, an id twice or unknown."""
    for kind, names in KEYS.items():
        for entry in coco.dataset[kind]:
            absent = [name for name in names if name not in entry]
            if absent:
                raise DataError(f"{path}: {kind}: id {entry.get('id')}: no {absent[0]!r}")
            for name in KINDS.keys() & set(names):
                if not isinstance(entry[name], KINDS[name][0]):
                    raise DataError(
                        f"{path}: {kind}: id {entry['id']}: expected {KINDS[name][1]} as {name}, "
                        f"got {entry[name]!r}; correct it"
                    )
        ids = collections.Counter(entry["id"] for entry in coco.dataset[kind])
        twice = [number for number, count in ids.items() if count > 1]
        if twice:
            raise DataError(f"{path}: {kind}: id {twice[0]} is there twice; leave one of them out")
    check_category_names(coco.dataset["categories"], path)
    for annotation in coco.dataset["annotations"]:
        for key, known in (("image_id", coco.imgs), ("category_id", coco.cats)):
            if annotation[key] not in known:
                raise DataError(
                    f"{path}: annotation {annotation['id']}: {key} {annotation[key]} is not "
                    "listed in the file; leave the annotation out, or fetch the file again"
                )


def check_category_names(categories, path):
    """DataError for a name that two categories have: their labels could not be told apart."""
    ids = {}
    for category in categories:
        name, number = category["name"], category["id"]
        if name in ids:
            raise DataError(
                f"{path}: categories: ids {ids[name]} and {number} are both named {name!r}; "
                "rename one of them, or make them one"
            )
        ids[name] = number


def read_annotations(path):
    """pycocotools' COCO of an instances file, checked for what is used here."""
    if not pathlib.Path(path).is_file():
        raise DataError(
            f"{path}: no such file: expected COCO instance annotations (JSON); unpack their archive"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            coco = COCO(str(path))
        check_entries(coco, path)
    except DataError:
        raise
    except KeyError as error:
        raise DataError(f"{path}: expected COCO instance annotations, got no {error}") from None
    except (ValueError, AssertionError, TypeError) as error:
        raise DataError(
            f"{path}: expected COCO instance annotations, got: {error}; unpack it again"
        ) from None
    return coco


def corners(annotation, path):
    """x1, y1, x2, y2 of an annotation's box x, y, width, height, in inclusive pixel corners."""
    try:
        x, y, w, h = (float(value) for value in annotation["bbox"])
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: annotation {annotation['id']}: expected a box x y width height, got "
            f"{annotation['bbox']!r}; correct it or leave it out"
        ) from None
    return x, y, x + w - 1, y + h - 1


def make_sample(coco, image, rank, path):
    """The Sample of one image; crowds give a label but no box."""
    labels, size = np.zeros(len(rank), np.uint8), (image["width"], image["height"])
    annotations = coco.imgToAnns[image["id"]]
    labels[[rank[annotation["category_id"]] for annotation in annotations]] = 1
    boxed = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
    boxes = np.array([corners(annotation, path) for annotation in boxed]).reshape(-1, 4)
    boxes = fit_boxes(boxes, size, lambda row: f"{path}: annotation {boxed[row]['id']}")
    numbers = np.array([rank[annotation["category_id"]] for annotation in boxed]).reshape(-1, 1)
    truth = np.concatenate([numbers, boxes], axis=1).astype(np.float32)
    return Sample(image["file_name"], labels, size, truth, np.zeros(len(truth), np.uint8))


def prepare_coco(annotations, images, out, **options):
    """Write the prepared set and return its counts; options as in prepared.prepare_set."""
    coco = read_annotations(annotations)
    categories = sorted(coco.cats.values(), key=lambda category: category["id"])
    rank = {category["id"]: number for number, category in enumerate(categories)}
    everything = sorted(coco.imgs.values(), key=lambda image: image["id"])
    samples = [make_sample(coco, image, rank, annotations) for image in everything]
    classes = [category["name"] for category in categories]
    return prepare_set(out, images, samples, classes, annotations, **options)


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python data/prepare_coco.py --annotations instances_val2014.json "
        "--images val2014 --out data/coco/test",
    )
    parser.add_argument("--annotations", required=True, help="instances_*.json")
    parser.add_argument("--images", required=True, help="folder of the annotations' file names")
    add_preparation(parser)
    options = parser.parse_args(argv)
    print_counts(options.out, prepare_coco(**vars(options)))


if __name__ == "__main__":
    run_tool(main)
