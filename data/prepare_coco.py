"""Prepare a set with COCO instance annotations: MS-COCO itself, or the demo set.

A label is 1 where the image has an annotation of the class, crowds included; classes are in the
order of their category id. Images without a label are left out. See data/README.md.
"""

import argparse
import contextlib
import io
import pathlib

import numpy as np
from prepared import image_sizes, run_tool, write_set
from pycocotools.coco import COCO

from python_layers.array_file import DataError

BOX_TOLERANCE = 1.0  # COCO's own boxes stick out of their images by rounding, never by more


def read_annotations(path):
    """pycocotools' COCO of an instances file, checked for what is used here."""
    if not pathlib.Path(path).is_file():
        raise DataError(f"{path}: no such file: expected COCO instance annotations (JSON)")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            coco = COCO(str(path))
        keys = {"annotations": ("category_id", "image_id", "bbox"), "categories": ("name",)}
        keys["images"] = ("file_name", "width", "height")
        for kind, names in keys.items():
            for entry in coco.dataset[kind]:
                absent = [name for name in ("id", *names) if name not in entry]
                if absent:
                    raise DataError(f"{path}: {kind}: id {entry.get('id')}: no {absent[0]!r}")
    except DataError:
        raise
    except KeyError as error:
        raise DataError(f"{path}: expected COCO instance annotations, got no {error}") from None
    except (ValueError, AssertionError, TypeError) as error:
        raise DataError(f"{path}: expected COCO instance annotations, got: {error}") from None
    for annotation in coco.dataset["annotations"]:
        for key, known in (("image_id", coco.imgs), ("category_id", coco.cats)):
            if annotation[key] not in known:
                raise DataError(
                    f"{path}: annotation {annotation['id']}: {key} {annotation[key]} is not listed"
                )
    return coco


def inclusive_box(annotation, width, height, path):
    """[x1, y1, x2, y2] of a COCO box x, y, width, height, in inclusive pixel corners."""
    try:
        x, y, w, h = (float(value) for value in annotation["bbox"])
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: annotation {annotation['id']}: expected a box x y width height, "
            f"got {annotation['bbox']!r}; correct it or leave it out"
        ) from None
    over = max(-x, -y, x + w - width, y + h - height)
    if not over <= BOX_TOLERANCE or w < 0 or h < 0:  # "not": a nan is no box either
        raise DataError(
            f"{path}: annotation {annotation['id']}: expected a box x y width height inside "
            f"{width}x{height}, got {x:g} {y:g} {w:g} {h:g}; correct it or leave it out"
        )
    x1, y1 = np.clip([x, y], 0, [width - 1, height - 1])
    x2, y2 = np.clip([x + w - 1, y + h - 1], [x1, y1], [width - 1, height - 1])
    return [x1, y1, x2, y2]


def labels_and_truth(coco, image, rank, path):
    """(labels (K,), boxes (m,5) class, x1, y1, x2, y2) of an image; crowds have no box."""
    labels, truth = np.zeros(len(rank), np.uint8), []
    for annotation in coco.imgToAnns[image["id"]]:
        number = rank[annotation["category_id"]]
        labels[number] = 1
        if not annotation.get("iscrowd", 0):
            box = inclusive_box(annotation, image["width"], image["height"], path)
            truth.append([number, *box])
    return labels, np.array(truth, np.float32).reshape(-1, 5)


def prepare_coco(annotations, images, out, skip_unreadable=False):
    """Write the prepared set and return its counts: raw, without_labels, unreadable, kept."""
    coco = read_annotations(annotations)
    if not pathlib.Path(images).is_dir():
        raise DataError(f"{images}: no such folder: expected the images of {annotations}")
    categories = sorted(coco.cats.values(), key=lambda category: category["id"])
    rank = {category["id"]: number for number, category in enumerate(categories)}
    everything = sorted(coco.imgs.values(), key=lambda image: image["id"])
    labelled = [image for image in everything if coco.imgToAnns[image["id"]]]
    sizes = image_sizes([pathlib.Path(images, i["file_name"]) for i in labelled], skip_unreadable)
    kept = [i for i, size in zip(labelled, sizes, strict=True) if size]
    sizes = [size for size in sizes if size]
    for image, size in zip(kept, sizes, strict=True):
        if size != (image["width"], image["height"]):
            raise DataError(
                f"{pathlib.Path(images, image['file_name'])}: expected "
                f"{image['width']}x{image['height']} pixels as {annotations} says, got "
                f"{size[0]}x{size[1]}; fetch the image again"
            )
    counts = {
        "raw": len(everything),
        "without_labels": len(everything) - len(labelled),
        "unreadable": len(labelled) - len(kept),
        "kept": len(kept),
    }
    rows = [labels_and_truth(coco, image, rank, annotations) for image in kept]
    names, classes = [i["file_name"] for i in kept], [c["name"] for c in categories]
    labels, truth = zip(*rows, strict=True) if rows else ((), ())
    write_set(out, images, names, classes, labels, sizes, truth, counts)
    return counts


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", required=True, help="instances_*.json")
    parser.add_argument("--images", required=True, help="folder of the annotations' file names")
    parser.add_argument("--out", required=True, help="folder of the prepared set")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave such images out instead of stopping"
    )
    options = parser.parse_args(argv)
    counts = prepare_coco(**vars(options))
    print(f"{options.out}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


if __name__ == "__main__":
    run_tool(main)
