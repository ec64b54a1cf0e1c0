"""A whole project folder in small: two prepared sets, two nets, snapshots of two seeds, logs."""

import json

import cv2
import numpy as np
import prepared

import caffe

CLASSES = ("ant", "bee & wasp", "cat", "dog")
SIDE, BOXES = 6, 5  # of the nets' input and of the proposals per image
DATA = """
layer {{ name: "data" type: "Python" {tops}
  python_param {{ module: "python_layers.proposal_data" layer: "ProposalData"
    param_str: '{{"source": "{source}", "batch_size": 3, "scales": [6], "boxes": {boxes}}}' }} }}
"""
SCORES = """
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "z"
  inner_product_param { num_output: 4 } }
layer { name: "p" type: "Sigmoid" bottom: "z" top: "p" }
"""
REGIONS = """
layer { name: "regions" type: "InnerProduct" bottom: "rois" top: "score"
  inner_product_param { num_output: 4 } }
layer { name: "S" type: "Sigmoid" bottom: "score" top: "S" }
"""


def write_set(folder, count, seed):
    """A prepared set of `count` images of unequal sizes, each with 2 to 5 proposals."""
    random = np.random.default_rng(seed)
    names = [f"{number:03}.png" for number in range(count)]
    sizes = [(int(w), int(h)) for w, h in random.integers(20, 50, (count, 2))]
    labels = (random.random((count, len(CLASSES))) < 0.5).astype(np.uint8)
    labels[range(4), range(4)] = 1
    folder.mkdir(parents=True)
    for name, (width, height) in zip(names, sizes, strict=True):
        cv2.imwrite(str(folder / name), random.integers(0, 255, (height, width, 3), np.uint8))
    truth = [truth_boxes(random, *pair) for pair in zip(labels, sizes, strict=True)]
    prepared.write_set(folder, folder, names, CLASSES, labels, sizes, truth, {"kept": count})
    boxes = [random_boxes(random, size) for size in sizes]
    sha256 = json.loads((folder / "set.json").read_text())["images_sha256"]
    prepared.write_proposals(folder / "proposals.arr", boxes, BOXES, {"images_sha256": sha256})


def truth_boxes(random, labels, size):
    """(n,5) float32: a box of each class of the image: class, inclusive corners."""
    classes = np.flatnonzero(labels)
    ends = np.sort(random.integers(0, size, (2, len(classes), 2)), axis=0)
    return np.column_stack([classes, *ends]).astype(np.float32)


def random_boxes(random, size):
    """(n,5) float32: inclusive corners inside the image, then a score."""
    count = random.integers(2, BOXES + 1)
    ends = np.sort(random.random((2, count, 2)), axis=0) * (np.array(size) - 1)
    return np.hstack([ends[0], ends[1], random.random((count, 1))]).astype(np.float32)


def write_model(path, source, teacher=False):
    """A test net: p from the whole image and, for a teacher, S from the boxes' coordinates."""
    names = ("data", "label", "rois", "roi_mask") if teacher else ("data", "label")
    tops = " ".join(f'top: "{name}"' for name in names)
    text = DATA.format(tops=tops, source=source, boxes=BOXES if teacher else 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'name: "{path.parent.name}"' + text + SCORES + REGIONS * teacher)


def write_weights(model, path, seed):
    """A snapshot with random weights."""
    net = caffe.Net(str(model), caffe.TEST)
    random = np.random.default_rng(seed)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = random.normal(0, 0.02, blob.data.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    net.save(str(path))


def write_log(path, seed):
    """What train.py leaves: a line about the run, then its records."""
    about = {
        "stage": path.parent.name,
        "command": f"tools/train.py {path.parent.name}",
        "started": "2018-07-01 12:00:00",
        "hardware": "2 cores",
        "batch_size": 10,
    }
    records = [{"iter": i, "loss": 3 / i + seed, "images_per_s": 4.0} for i in (2, 4, 6)]
    lines = [about, *records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_project(root, seeds=(1, 2)):
    """data/tiny, models/tiny and out/tiny below `root`, the current folder."""
    write_set(root / "data/tiny/test", 7, seed=3)
    write_set(root / "data/tiny/train", 5, seed=4)
    models = root / "models/tiny"
    write_model(models / "student/test.prototxt", "data/tiny/test")
    write_model(models / "student/train.prototxt", "data/tiny/train")
    write_model(models / "wsddn/test.prototxt", "data/tiny/test", teacher=True)
    for seed in seeds:
        for number, stage in enumerate(("student", "wsddn", "stage1", "stage2")):
            folder = root / f"out/tiny/seed{seed}" / stage
            net = models / ("wsddn" if stage == "wsddn" else "student") / "test.prototxt"
            write_weights(net, folder / f"{stage}_iter_9.caffemodel", 10 * seed + number)
            write_weights(net, folder / f"{stage}_iter_20.caffemodel", 100 * seed + number)
            write_log(folder / "log.jsonl", seed)
