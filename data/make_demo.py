"""Make the demo data set: drawn scenes with COCO instance annotations, and single-object images.

The scenes stand in for MS-COCO: 12 shape classes, 1 to 6 objects of very different size per scene,
clutter, occlusion, imbalanced class frequencies and labels that co-occur. Colour and texture are
drawn independently of the class. The single-object images stand in for ImageNet.

    images/{train,test}/000001.jpg          scenes, size x size
    annotations/instances_{train,test}.json COCO instances; masks are the visible pixels, as RLE
    objects/{train,test}/000001.jpg         one object per image, 96 x 96
    objects_{train,test}.txt                lines `path class` (from 0), Caffe's ImageData format
    manifest.json                           the options; written last, so it marks a complete set
"""

import argparse
import functools
import json
import math
import multiprocessing
import pathlib

import cv2
import numpy as np
from prepared import natural, own_folder, run_tool, start_worker
from pycocotools import mask as coco_mask
from tqdm import tqdm

from python_layers.array_file import atomic_file

VERSION = 1
OBJECT_SIZE = 96
SUPERSAMPLE = 2
REFERENCE_SIZE = 192  # the scene size in which the radii below are given
RADII = (8, 34)
MIN_VISIBLE = 0.55
FREQUENCY_DECAY = 0.85  # each class is this much rarer than the one before it
PARTNER_PROBABILITY = 0.4  # that the next object is of the class's partner (0-1, 2-3, ...)
SPLITS = ("train", "test")


def ellipse(rx, ry, cx=0.0, cy=0.0, start=0.0, stop=2 * math.pi):
    """Points (48, 2) x, y from the angle `start` to `stop`, in radians."""
    angle = np.linspace(start, stop, 48)
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def star(points, inner):
    """Points (2 * points, 2) x, y, by turns at the radius 1 and `inner`."""
    angle = np.arange(2 * points) * math.pi / points
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def heart():
    """Points (48, 2) x, y of (sin^3 t, a sum of cosines), with y downwards."""
    t = np.linspace(0, 2 * math.pi, 48)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([np.sin(t) ** 3, -y / 17], axis=1)


def crescent():
    """Points (96, 2) x, y: a circle with a mouth, and back along an ellipse inside it."""
    outer = ellipse(1, 1, start=0.7, stop=2 * math.pi - 0.7)
    inner = ellipse(0.75, 0.65, cx=0.6, start=2 * math.pi - 1.4, stop=1.4)
    return np.concatenate([outer, inner])


def corners(*points):
    """Points (n, 2) x, y of a polygon."""
    return np.array(points, dtype=float)


# Class name -> contours within the unit circle; a contour inside another one is a hole.
SHAPES = {
    "disk": [ellipse(1, 1)],
    "square": [corners((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75))],
    "triangle": [corners((1, 0), (-0.6, 0.85), (-0.6, -0.85))],
    "ring": [ellipse(1, 1), ellipse(0.55, 0.55)],
    "star": [star(5, 0.42)],
    "cross": [
        corners(
            *[(0.3, 0.3), (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3)],
            *[(-0.3, -0.3), (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3)],
        )
    ],
    "heart": [heart()],
    "crescent": [crescent()],
    "arrow": [
        corners(
            *[(1, 0), (0.1, 0.85), (0.1, 0.3), (-1, 0.3)],
            *[(-1, -0.3), (0.1, -0.3), (0.1, -0.85)],
        )
    ],
    "half_disk": [ellipse(1, 1, cx=-0.4, start=-math.pi / 2, stop=math.pi / 2)],
    "ell": [
        corners((-0.8, -0.8), (0.8, -0.8), (0.8, -0.2), (-0.2, -0.2), (-0.2, 0.8), (-0.8, 0.8))
    ],
    "hourglass": [
        corners((-0.75, -0.9), (0.75, -0.9), (0.1, 0), (0.75, 0.9), (-0.75, 0.9), (-0.1, 0))
    ],
}
CLASSES = tuple(SHAPES)


def texture(rng, height, width, base):
    """(height, width, 3) uint8 around the colour `base`: smooth noise, stripes, fine noise."""
    cells = rng.integers(2, 9, size=2)
    coarse = rng.normal(0, rng.uniform(4, 22), (*cells, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        direction, period = rng.uniform(0, math.pi), rng.uniform(6, 30)
        y, x = np.ogrid[:height, :width]
        phase = (x * math.cos(direction) + y * math.sin(direction)) * 2 * math.pi / period
        image += (rng.uniform(5, 28) * np.sin(phase)).astype(np.float32)[..., None]
    image += rng.uniform(2, 9) * rng.standard_normal((height, width, 1), dtype=np.float32)
    return cv2.convertScaleAbs(np.maximum(image + base, 0))


def contrasting_colour(rng, background, distance=70):
    """A random BGR colour (3,) that is at least so far from the colour `background`."""
    while True:
        colour = rng.uniform(10, 245, 3)
        if np.linalg.norm(colour - background) >= distance:
            return colour


def place(contours, rng, centre, radius):
    """The contours rotated, stretched by up to 15% and moved, in pixels of the canvas."""
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    stretch = np.array([1.0, rng.uniform(0.85, 1.0)])
    return [np.rint((c * stretch) @ turn.T * radius + centre).astype(np.int32) for c in contours]


def paint(canvas, contours, rng):
    """Fill the contours with a texture; returns the filled pixels (H, W) bool of the canvas."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, contours, 1)
    x, y, width, height = cv2.boundingRect(mask)
    if width and height:
        patch = canvas[y : y + height, x : x + width]
        inside = mask[y : y + height, x : x + width].astype(bool)
        colour = contrasting_colour(rng, cv2.mean(patch)[:3])
        patch[inside] = texture(rng, height, width, colour)[inside]
    return mask.astype(bool)


def add_clutter(canvas, rng, count):
    """Draw things of no class: lines, arcs, blobs and pieces of the classes' outlines."""
    size = canvas.shape[0]
    for kind in rng.integers(0, 4, size=count):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(0.03, 0.15) * size
        thickness = int(rng.integers(1, 4)) * SUPERSAMPLE
        colour = contrasting_colour(rng, cv2.mean(canvas)[:3], 40)
        if kind == 0:
            ends = rng.integers(0, size, (2, 2)).tolist()
            cv2.line(canvas, ends[0], ends[1], colour, thickness // 2)
        elif kind == 1:
            angle, span = rng.uniform(0, 360), rng.uniform(60, 200)
            axes = (int(radius), int(radius * rng.uniform(0.4, 1)))
            cv2.ellipse(
                canvas, centre.astype(int).tolist(), axes, 0, angle, angle + span, colour, thickness
            )
        elif kind == 2:
            bumps = star(6, 1.0) * rng.uniform(0.35, 1.0, (12, 1))
            paint(canvas, place([bumps], rng, centre, radius * 0.7), rng)
        else:
            shape = SHAPES[CLASSES[rng.integers(len(CLASSES))]]
            [outline] = place(shape[:1], rng, centre, radius)
            start, length = rng.integers(len(outline)), max(2, len(outline) // 3)
            piece = np.roll(outline, -start, axis=0)[:length]
            cv2.polylines(canvas, [piece], False, colour, thickness)


def draw_classes(rng):
    """1 to 6 class indices, imbalanced and co-occurring."""
    frequency = FREQUENCY_DECAY ** np.arange(len(CLASSES))
    frequency /= frequency.sum()
    labels = [int(rng.choice(len(CLASSES), p=frequency))]
    for _ in range(rng.integers(0, 6)):
        if rng.random() < PARTNER_PROBABILITY:
            labels.append(labels[-1] ^ 1)
        else:
            labels.append(int(rng.choice(len(CLASSES), p=frequency)))
    return labels


def add_object(canvas, visible, label, rng, radii):
    """Paint an object where it hides no earlier one too much.

    visible: the objects so far, [(class, visible mask, whole area)]; updated.
    """
    size = canvas.shape[0]
    for _ in range(30):
        radius = rng.uniform(*radii)
        contours = place(SHAPES[CLASSES[label]], rng, rng.uniform(radius, size - radius, 2), radius)
        mask = np.zeros(canvas.shape[:2], np.uint8)
        cv2.fillPoly(mask, contours, 1)
        left = [(old & ~mask.astype(bool)).sum() / area for _, old, area in visible]
        if all(fraction >= MIN_VISIBLE for fraction in left):
            mask = paint(canvas, contours, rng)
            visible[:] = [(k, old & ~mask, area) for k, old, area in visible]
            visible.append((label, mask, mask.sum()))
            return


def shrink(canvas, size):
    """The canvas, averaged down to size x size."""
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def make_scene(rng, size):
    """One scene (size, size, 3) uint8 BGR and its objects [(class, visible mask (size, size))]."""
    full = size * SUPERSAMPLE
    canvas = texture(rng, full, full, rng.uniform(30, 225, 3))
    add_clutter(canvas, rng, rng.integers(4, 10))
    radii = [r * full / REFERENCE_SIZE for r in RADII]
    visible = []
    for label in draw_classes(rng):
        add_object(canvas, visible, label, rng, radii)
    add_clutter(canvas, rng, rng.integers(0, 3))
    masks = [(k, shrink(mask.astype(np.float32), size) > 0.5) for k, mask, _ in visible]
    return shrink(canvas, size), masks


def make_object(rng):
    """One image (96, 96, 3) uint8 BGR with one object, and its class."""
    full = OBJECT_SIZE * SUPERSAMPLE
    canvas = texture(rng, full, full, rng.uniform(30, 225, 3))
    add_clutter(canvas, rng, rng.integers(0, 4))
    label = int(rng.integers(len(CLASSES)))
    radius = full * rng.uniform(0.2, 0.48)
    slack = full / 2 - radius
    centre = full / 2 + rng.uniform(-slack, slack, 2)
    paint(canvas, place(SHAPES[CLASSES[label]], rng, centre, radius), rng)
    return shrink(canvas, OBJECT_SIZE), label


def write(path, data):
    """Write the bytes, whole or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def write_jpeg(path, image):
    """Write an image (H, W, 3) uint8 BGR."""
    write(path, cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def rle(mask):
    """COCO's run-length code of a mask (H, W) bool, ready for JSON."""
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode("ascii")}


def save_scene(index, out, split, size, seed):
    """Write scene `index` (from 1); returns its annotations, without their ids."""
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    image, objects = make_scene(rng, size)
    write_jpeg(out / "images" / split / f"{index:06d}.jpg", image)
    annotations = []
    for label, mask in objects:
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        annotations.append(
            {
                "image_id": index,
                "category_id": label + 1,
                "bbox": [x, y, width, height],
                "area": int(mask.sum()),
                "segmentation": rle(mask),
                "iscrowd": 0,
            }
        )
    return annotations


def save_object(index, out, split, seed):
    """Write single-object image `index` (from 1); returns its line of the list."""
    rng = np.random.default_rng((seed, len(SPLITS) + SPLITS.index(split), index))
    image, label = make_object(rng)
    name = f"{index:06d}.jpg"
    write_jpeg(out / "objects" / split / name, image)
    return f"objects/{split}/{name} {label}\n"


def run_parallel(pool, work, count, title):
    """[work(1), ..., work(count)], in this order, under a progress bar."""
    indices = range(1, count + 1)
    return list(tqdm(pool.imap(work, indices, chunksize=32), title, total=count, unit="image"))


def instances(annotations_per_image, size):
    """The COCO instances dictionary of one split."""
    annotations = [a for per_image in annotations_per_image for a in per_image]
    names = [f"{i:06d}.jpg" for i in range(1, len(annotations_per_image) + 1)]
    return {
        "info": {"description": "drawn shapes", "version": str(VERSION)},
        "licenses": [],
        "images": [
            {"id": i, "file_name": name, "width": size, "height": size}
            for i, name in enumerate(names, 1)
        ],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
        "categories": [
            {"id": i, "name": name, "supercategory": "shape"} for i, name in enumerate(CLASSES, 1)
        ],
    }


def make_split(pool, out, split, scenes, objects, size, seed):
    """Write the images, annotations and list of one split."""
    for folder in ("images", "objects"):
        (out / folder / split).mkdir(parents=True, exist_ok=True)
    (out / "annotations").mkdir(exist_ok=True)
    work = functools.partial(save_scene, out=out, split=split, size=size, seed=seed)
    annotations = run_parallel(pool, work, scenes, f"{split} scenes")
    text = json.dumps(instances(annotations, size))
    write(out / "annotations" / f"instances_{split}.json", text.encode())
    work = functools.partial(save_object, out=out, split=split, seed=seed)
    lines = run_parallel(pool, work, objects, f"{split} objects")
    write(out / f"objects_{split}.txt", "".join(lines).encode())


def make_demo(out, options, workers=None):
    """Make the whole set under the folder `out`; returns False if it was already there."""
    manifest = out / "manifest.json"
    wanted = json.dumps({"version": VERSION, **options}, indent=1).encode()
    if manifest.is_file() and manifest.read_bytes() == wanted:
        return False
    manifest.unlink(missing_ok=True)
    objects = {"train": options["objects"], "test": max(1, options["objects"] // 10)}
    # A forked worker would keep the folder's lock when this process is killed.
    with multiprocessing.get_context("spawn").Pool(workers, start_worker) as pool:
        for split in SPLITS:
            make_split(
                pool, out, split, options[split], objects[split], options["size"], options["seed"]
            )
    write(manifest, wanted)
    return True


def parse_arguments(argv):
    """The options, as a namespace with `out` and what the manifest holds."""
    parser = argparse.ArgumentParser(
        description="Make the demo data set: drawn scenes with COCO annotations.",
        epilog="Example: python data/make_demo.py --out data/demo --train 300 --test 100",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, default="data/demo", help="folder to write into")
    add("--train", type=natural(1), default=3000, help="training scenes")
    add("--test", type=natural(1), default=1000, help="test scenes")
    add("--objects", type=natural(1), default=12000, help="single-object training images")
    add("--size", type=natural(64), default=192, help="scene side, pixels")
    add("--seed", type=natural(0), default=0, help="random seed")
    return parser.parse_args(argv)


def main(argv):
    options = vars(parse_arguments(argv))
    out = options.pop("out")
    with own_folder(out):
        made = make_demo(out, options)
    print(f"{out}: {'made' if made else 'already complete, nothing to do'}")


if __name__ == "__main__":
    run_tool(main)
