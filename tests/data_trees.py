"""Small directory trees in the layout of MS-COCO, NUS-WIDE and VOC, odd and broken images in them.

Each has a few dozen images of noise, of sizes that differ; ODD are those that must be read all
the same, BROKEN those that cannot be.
"""

import json
import pathlib

import cv2
import numpy as np
import PIL.Image
import scipy.io

SIZES = [(23, 17), (31, 40), (28, 19), (37, 26), (20, 33), (45, 29), (18, 24)]  # width, height
ORIENTATION = 0x0112  # EXIF's tag; 6: to be turned by 90 degrees
ODD = ("gray", "cmyk", "deep", "turned")
BROKEN = ("empty", "cut", "text")
VOC_CLASSES = ("bird", "cat", "person", "tvmonitor")
CONCEPTS = ("airport", "animal", "sky", "water")


def size_of(number):
    """(width, height) of the image with this number."""
    return SIZES[number % len(SIZES)]


def write_image(path, number, kind="plain"):
    """An image file of noise in one of the ways in which real ones differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_of(number)
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(pixels)
    if kind == "deep":
        deep = pixels.astype(np.uint16) * 257
        path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())  # whatever the suffix says
    elif kind == "gray":
        image.convert("L").save(path, "JPEG")
    elif kind == "cmyk":
        image.convert("CMYK").save(path, "JPEG")
    elif kind == "turned":
        exif = PIL.Image.Exif()
        exif[ORIENTATION] = 6
        image.save(path, "JPEG", exif=exif)
    else:
        image.save(path, "JPEG")
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-60])
    elif kind == "text":
        path.write_text("<html>404: no such photo</html>")


def random_box(rng, size):
    """[x1, y1, x2, y2] of whole pixels inside an image of (width, height)."""
    (x1, x2), (y1, y2) = (np.sort(rng.integers(0, side, 2)).tolist() for side in size)
    return [x1, y1, x2, y2]


def coco_tree(root, count=24, kinds=()):
    """annotations/instances_{train,val}2014.json, {train,val}2014/COCO_*.jpg; the train JSON.

    Category ids have holes and are out of order; every fifth image has no annotation, every
    seventh only a crowd. kinds: {number: kind} of the training images that are not plain.
    """
    rng, kinds = np.random.default_rng(5), dict(kinds)
    categories = [{"id": i, "name": name} for i, name in ((90, "toad"), (1, "ape"), (13, "bat"))]
    for split in ("val", "train"):
        images, annotations = [], []
        for number in range(count):
            name = f"COCO_{split}2014_{7 * number + 3:012d}.jpg"
            kind = kinds.get(number, "plain") if split == "train" else "plain"
            write_image(root / f"{split}2014" / name, number, kind)
            width, height = size_of(number)
            entry = {"id": 7 * number + 3, "file_name": name, "width": width, "height": height}
            images.append(entry)
            for _ in range(0 if number % 5 == 4 else 1 if number % 7 == 6 else 2):
                x1, y1, x2, y2 = random_box(rng, (width, height))
                annotation = {"id": len(annotations) + 100, "image_id": entry["id"]}
                annotation |= {"category_id": categories[number % 3]["id"]}
                annotation |= {"bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1]}
                annotations.append(annotation | {"iscrowd": int(number % 7 == 6)})
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = root / "annotations" / f"instances_{split}2014.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return content


def nuswide_tree(root, counts=(24, 15), kinds=(), missing=()):
    """Concepts81.txt, ImageList/, TrainTestLabels/, Flickr/<sub-folder>/*.jpg; {split: labels}.

    kinds and missing: numbers of training images that are not plain or not there. Every sixth
    image has no label.
    """
    rng, kinds, tables = np.random.default_rng(6), dict(kinds), {}
    for folder in ("ImageList", "TrainTestLabels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "Concepts81.txt").write_text("".join(f"{name}\r\n" for name in CONCEPTS))
    for split, count in zip(("Train", "Test"), counts, strict=True):
        labels = rng.integers(0, 2, (count, len(CONCEPTS)), dtype=np.uint8)
        labels[:, 1] |= ~labels.any(axis=1)
        labels[5::6] = 0
        names = [nuswide_name(split, number) for number in range(count)]
        for number, name in enumerate(names):
            if split == "Test" or number not in missing:
                kind = kinds.get(number, "plain") if split == "Train" else "plain"
                write_image(root / "Flickr" / name, number, kind)
        text = "".join(name.replace("/", "\\") + " \r\n" for name in names)
        (root / "ImageList" / f"{split}Imagelist.txt").write_text(text, newline="")
        for name, column in zip(CONCEPTS, labels.T, strict=True):
            path = root / "TrainTestLabels" / f"Labels_{name}_{split}.txt"
            path.write_text("".join(f"{value}\n" for value in column))
        tables[split.lower()] = labels
    return tables


def nuswide_name(split, number):
    """Where NUS-WIDE's list has this image: folder of the query, running number, photo's id."""
    folder = ("actor", "zebra")[number % 2]
    return f"{folder}/{number:04d}_{2124494100 + number + 1000 * (split == 'Test')}.jpg"


def write_nuswide_mat(path, tables):
    """The labels as one .mat, the test set's with images as columns."""
    scipy.io.savemat(path, {"labels_Train": tables["train"], "labels_Test": tables["test"].T})


def voc_object(name, box, difficult=0, extra=""):
    """An <object>; box x1 y1 x2 y2 counted from 0."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    text = "".join(f"<{key}>{value + 1}</{key}>" for key, value in corners)
    return (
        f"<object><name>{name}</name><pose>Left</pose><difficult>{difficult}</difficult>"
        f"<bndbox>{text}</bndbox>{extra}</object>"
    )


def voc_tree(root, count=24, kinds=(), year="2007"):
    """VOCdevkit/VOC2007: Annotations/*.xml, ImageSets/Main/{trainval,test}.txt, JPEGImages/*.jpg.

    Every third image's object is marked difficult, every fourth image has another that is not.
    Returns {id: [(class, box from 0, difficult), ...]}.
    """
    rng, kinds, truth = np.random.default_rng(7), dict(kinds), {}
    folder = root / "VOCdevkit" / f"VOC{year}"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        identity, size = f"{number + 5:06d}", size_of(number)
        write_image(folder / "JPEGImages" / f"{identity}.jpg", number, kinds.get(number, "plain"))
        found = [(VOC_CLASSES[number % 4], random_box(rng, size), int(number % 3 == 2))]
        if number % 4 == 0:
            found.append((VOC_CLASSES[3 - number % 3], random_box(rng, size), 0))
        part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin></bndbox></part>"
        objects = "".join(voc_object(*entry, extra=part) for entry in found)
        (folder / "Annotations" / f"{identity}.xml").write_text(
            f"<annotation><folder>VOC{year}</folder><size><width>{size[0]}</width>"
            f"<height>{size[1]}</height><depth>3</depth></size>{objects}</annotation>"
        )
        truth[identity] = found
    names = list(truth)
    for split, ids in (("trainval", names[: count * 2 // 3]), ("test", names[count * 2 // 3 :])):
        text = "".join(f"{name}\n" for name in ids)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(text)
        (folder / "ImageSets" / "Main" / f"cat_{split}.txt").write_text(text)
    return truth


def files_of(folder):
    """{name: bytes} of what lies in a folder."""
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
