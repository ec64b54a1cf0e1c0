"""Label images with any deploy net: the student's labels, or the teacher's labels and boxes.

    python tools/predict.py a.jpg b.png --dataset demo
    python tools/predict.py a.jpg --dataset demo --backbone resnet18
    python tools/predict.py a.jpg --dataset coco --net wsddn --format json > answers.json
    python tools/predict.py a.jpg --annotate marked/ --net wsddn
    python tools/predict.py a.jpg --model deploy.prototxt --weights x.caffemodel --classes names.txt

Without --model it takes models/<dataset>/[<backbone>/]<net>/deploy.prototxt, and without --weights
the last snapshot below out/<dataset>/seed1/[<backbone>/]. What a deploy net does not say (the
classes' names, the mean pixel, how proposals are made and scored) comes from the test net beside it
and the set which that names; options say it otherwise. The teacher's boxes are proposals of
data/make_proposals.py scored by S, after non-maximum suppression at IoU 0.4.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from errors import UserError, exit_code
from feeding import read_net
from files import write_atomically
from options import add_backbone_option, backbone_folder, check_dataset, natural
from rich.console import Console
from run_files import last_weights, read_prototxt
from test_cls import set_device
from test_det import detections_of

import caffe
from caffe.proto import caffe_pb2
from python_layers import array_file, prepared_set, proposal_data

MAKE_PROPOSALS = pathlib.Path(__file__).parent.parent / "data" / "make_proposals.py"
STAGES = {"student": ("stage2", "student"), "wsddn": ("wsddn",)}  # whose snapshots a net takes
COMPUTED = ("selective-search", "edgeboxes")  # methods that need no file of boxes
COLOURS = ((63, 210, 255), (160, 196, 92), (122, 146, 240), (245, 176, 138), (220, 130, 220))  # BGR


@dataclass(frozen=True)
class Setting:
    """What a deploy net does not say: classes, mean pixel, how boxes score and are made."""

    classes: list[str]
    mean: list[float]
    score: str
    proposals: dict


def find_setting(model: pathlib.Path, options: argparse.Namespace) -> Setting:
    """From the options, else from the test net beside the deploy net and its set."""
    test = model.with_name("test.prototxt")
    data, images = {}, None
    if test.is_file():
        data = read_net(test)[1]
        if pathlib.Path(data["source"], "set.json").is_file():
            images = prepared_set.PreparedSet(data["source"])
    if options.classes:
        classes = pathlib.Path(options.classes).read_text(encoding="utf-8").split("\n")
        classes = [name.strip() for name in classes if name.strip()]
    elif images:
        classes = images.classes
    else:
        raise UserError(f"{model}: no set says the names of the classes: give --classes FILE")
    return Setting(
        classes,
        options.mean or data.get("mean", proposal_data.DEFAULTS["mean"]),
        options.score or data.get("score", proposal_data.DEFAULTS["score"]),
        proposal_settings(images, options),
    )


def proposal_settings(images: prepared_set.PreparedSet | None, options: argparse.Namespace) -> dict:
    """Options of make_proposals.py: as the set's proposals were made, else its defaults."""
    made = {}
    if images and (images.folder / "proposals.arr").is_file():
        made = array_file.read_arrays(images.folder / "proposals.arr")[1].get("settings", {})
    method = options.method or made.get("method", "")
    if not method.startswith(COMPUTED):  # imported ones cannot be had of another image
        method = ""
    if method == made.get("method") and "model_sha256" in made and not options.edges:
        raise UserError(
            f"{images.folder}: its proposals come from a structured forest: give it as --edges, or "
            "another --method"
        )
    found = {"method": options.method or method, "max-side": made.get("max_side")}
    found["model"] = options.edges
    return {name: str(value) for name, value in found.items() if value}


def write_set(folder: pathlib.Path, paths: Sequence[pathlib.Path], classes: Sequence[str]) -> None:
    """A prepared set of these images without labels, for the tools that read one."""
    sizes = [prepared_set.decode_image(path).shape[1::-1] for path in paths]
    names = [os.path.relpath(path.resolve(), "/") for path in paths]
    if any(len(name.splitlines()) != 1 for name in names):
        raise UserError("expected paths of one line; rename the file")
    text = "".join(f"{name}\n" for name in names).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    arrays = {
        "labels": np.zeros((len(paths), len(classes)), np.uint8),
        "sizes": np.array(sizes, "<i4"),
        "truth": np.zeros((0, 5), "<f4"),
        "truth_start": np.zeros(len(paths) + 1, "<i8"),
        "difficult": np.zeros(0, np.uint8),
    }
    array_file.write_arrays(folder / "labels.arr", arrays, {"images_sha256": sha256})
    (folder / "images.txt").write_bytes(text)
    about = {"classes": list(classes), "image_root": "/", "images_sha256": sha256, "counts": {}}
    (folder / "set.json").write_text(json.dumps(about))


def make_proposals(folder: pathlib.Path, boxes: int, settings: dict) -> None:
    """Run data/make_proposals.py on the set; UserError with its last line if it fails."""
    words = [str(MAKE_PROPOSALS), "--set", str(folder), "--boxes", str(boxes)]
    for name, value in settings.items():
        words += [f"--{name}", value]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"data/make_proposals.py: {last}")


def inputs_of(model: pathlib.Path) -> dict[str, list[int]]:
    """The deploy net's inputs, name -> shape; UserError unless it takes `data` (N,3,S,S)."""
    net = read_prototxt(model, caffe_pb2.NetParameter())
    shapes = {}
    for layer in net.layer:
        if layer.type == "Input":
            given = layer.input_param.shape
            for place, top in enumerate(layer.top):
                shapes[top] = [*given[min(place, len(given) - 1)].dim] if given else []
    shapes |= {name: [*shape.dim] for name, shape in zip(net.input, net.input_shape, strict=False)}
    data = shapes.get("data", [])
    if len(data) != 4 or data[1] != 3 or data[2] != data[3]:
        raise UserError(f"{model}: expected a deploy net with an input data (N,3,S,S), got {data}")
    return shapes


def answer(
    net: caffe.Net, batches: proposal_data.Batches, image: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(p (K,), detections (d,7)) of one image; no detections from a net without proposals."""
    side = net.blobs["data"].data.shape[2]
    data, _, rois, mask = batches.make([(np.array([image]), 0, False)], side)
    inputs = {"data": data, **({"rois": rois, "roi_mask": mask} if batches.boxes else {})}
    for name, values in inputs.items():
        net.blobs[name].reshape(*values.shape)
        net.blobs[name].data[...] = values
    net.forward()
    p = net.blobs["p"].data[0].copy()
    if not batches.boxes:
        return p, np.empty((0, 7))
    boxes = batches.set.proposals(image, batches.boxes)
    if not len(boxes):
        boxes = np.array([[0, 0, *batches.set.sizes[image] - 1]], np.float32)
    found = detections_of(image, boxes, net.blobs["S"].data[: len(boxes)])
    return p, found[found[:, 2] >= threshold]


def describe(
    path: pathlib.Path, p: np.ndarray, found: np.ndarray, classes: list[str], options
) -> dict:
    """What JSON says of one image: labels with p, and boxes of these labels with S, best first."""
    order = np.argsort(-p, kind="stable")
    order = order[: options.top] if options.top else order[p[order] >= options.threshold]
    said = {
        "image": str(path),
        "labels": [{"label": classes[k], "p": round(float(p[k]), 6)} for k in order],
    }
    if len(found):
        wanted = set(order.tolist())
        best = found[np.argsort(-found[:, 2], kind="stable")]
        said["boxes"] = [
            {
                "label": classes[int(row[1])],
                "score": round(float(row[2]), 6),
                "box": [round(float(corner), 2) for corner in row[3:]],
            }
            for row in best
            if int(row[1]) in wanted
        ][: options.boxes]
    return said


def annotated(image: np.ndarray, said: dict) -> np.ndarray:
    """The image (H,W,3) with its boxes, and below it a strip with its labels."""
    image = image.copy()
    size = max(0.4, max(image.shape[:2]) / 1000)
    thick = max(1, round(2 * size))
    names = [entry["label"] for entry in said["labels"]]
    for entry in reversed(said.get("boxes", [])):
        corners = [round(corner) for corner in entry["box"]]
        colour = COLOURS[names.index(entry["label"]) % len(COLOURS)]
        cv2.rectangle(image, corners[:2], corners[2:], (20, 20, 20), thick + 2)
        cv2.rectangle(image, corners[:2], corners[2:], colour, thick)
    line = round(34 * size)
    strip = np.full((line * max(1, len(names)) + line // 2, image.shape[1], 3), 28, np.uint8)
    for row, entry in enumerate(said["labels"]):
        place = (round(8 * size), line * (row + 1))
        text = f"{entry['label']} {entry['p']:.2f}"
        text = text.encode("ascii", "replace").decode()  # all that OpenCV's fonts hold
        colour = COLOURS[row % len(COLOURS)]
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
    return np.concatenate([image, strip])


def write_annotated(folder: pathlib.Path, said: Sequence[dict]) -> None:
    """Write <folder>/<name>.png for each image; numbered where names occur twice."""
    taken: set[str] = set()
    for number, entry in enumerate(said):
        path = pathlib.Path(entry["image"])
        name = path.stem if path.stem not in taken else f"{path.stem}-{number + 1}"
        taken.add(name)
        picture = annotated(prepared_set.decode_image(path), entry)
        write_atomically(folder / f"{name}.png", cv2.imencode(".png", picture)[1].tobytes())
        print(f"wrote {folder / name}.png", file=sys.stderr)


def print_answers(said: Sequence[dict], threshold: float, console: Console) -> None:
    """The answers as text, an image after the other."""
    for entry in said:
        console.print(entry["image"], style="bold", highlight=False, soft_wrap=True)
        for label in entry["labels"]:
            console.print(f"  {label['p']:.3f}  {label['label']}", highlight=False)
        if not entry["labels"]:
            console.print(f"  no label reaches {threshold:g}", style="dim", highlight=False)
        for row in entry.get("boxes", []):
            corners = " ".join(f"{corner:g}" for corner in row["box"])
            text = f"  box {row['score']:.3f}  {row['label']}  {corners}"
            console.print(text, style="dim", highlight=False)


def answers(
    model: pathlib.Path,
    weights: pathlib.Path,
    shapes: dict[str, list[int]],
    setting: Setting,
    folder: pathlib.Path,
    options: argparse.Namespace,
) -> list[dict]:
    """`describe` of every image, prepared in the empty `folder` and shown to the net."""
    paths = [pathlib.Path(path) for path in options.images]
    boxes = shapes["rois"][0] if "rois" in shapes else 0
    write_set(folder, paths, setting.classes)
    if boxes:
        make_proposals(folder, boxes, setting.proposals)
    data = {
        "source": str(folder),
        "batch_size": 1,
        "scales": [shapes["data"][2]],
        "boxes": boxes,
        "mean": setting.mean,
        "score": setting.score,
    }
    read = proposal_data.read_options(json.dumps(data), 4 if boxes else 2)
    batches = proposal_data.Batches(read, boxes)
    net = caffe.Net(str(model), str(weights), caffe.TEST)
    check_outputs(net, model, len(setting.classes), boxes)
    said = []
    for number, path in enumerate(paths):
        p, found = answer(net, batches, number, options.box_threshold)
        said.append(describe(path, p, found, setting.classes, options))
    return said


def run(options: argparse.Namespace) -> list[dict]:
    """Answer for every image and show it; returns the answers."""
    if not options.model:
        check_dataset(options.dataset)
    set_device(options.gpu)
    model = pathlib.Path(options.model or net_folder(options) / "deploy.prototxt")
    shapes, setting = inputs_of(model), find_setting(model, options)
    weights = pathlib.Path(options.weights or find_weights(options))
    if not weights.is_file():
        raise UserError(f"{weights}: no such weights file")
    with tempfile.TemporaryDirectory() as name:
        said = answers(model, weights, shapes, setting, pathlib.Path(name), options)
    if options.annotate:
        write_annotated(pathlib.Path(options.annotate), said)
    if options.format == "json":
        print(json.dumps(said, indent=1, ensure_ascii=False))
    else:
        print_answers(said, options.threshold, Console())
    return said


def check_outputs(net: caffe.Net, model: pathlib.Path, classes: int, boxes: int) -> None:
    """UserError unless the net says p (N,K), and S (B,K) where it takes boxes."""
    for name in ("p", "S") if boxes else ("p",):
        shape = net.blobs[name].data.shape if name in net.blobs else "no such blob"
        if name not in net.blobs or shape[-1] != classes:
            raise UserError(f"{model}: expected {name} for {classes} classes, got {shape}")


def net_folder(options: argparse.Namespace) -> pathlib.Path:
    """Of the deploy net; UserError if a teacher with another backbone is asked for."""
    backbone = backbone_folder(options.backbone)
    if backbone and options.net == "wsddn":
        raise UserError("--backbone is the student's; the teacher (--net wsddn) has VGG16")
    return pathlib.Path("models", options.dataset, backbone, options.net)


def find_weights(options: argparse.Namespace) -> pathlib.Path:
    """The last snapshot of the first seed: of the distilled student, else of the plain one."""
    if options.model:
        raise UserError("--model needs --weights")
    seed = pathlib.Path(options.runs or f"out/{options.dataset}") / "seed1"
    seed /= backbone_folder(options.backbone)
    for stage in STAGES[options.net]:
        if any((seed / stage).glob("*_iter_*.caffemodel")):
            return last_weights(seed / stage)
    return last_weights(seed / STAGES[options.net][0])


def fraction(text: str) -> float:
    """An option's number in 0..1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in 0..1, got {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line of predict.py."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("images", nargs="+", metavar="IMAGE", help="JPEG or PNG")
    made.add_argument("--dataset", default="demo", help="(default: %(default)s)")
    made.add_argument("--net", choices=STAGES, default="student", help="(default: %(default)s)")
    add_backbone_option(made)
    made.add_argument("--runs", help="run folder with seed1/ (default: out/<dataset>)")
    made.add_argument("--model", help="deploy net, in place of --dataset's")
    made.add_argument("--weights", help="its .caffemodel (default: the last of seed 1)")
    made.add_argument("--classes", help="file with one class name per line (default: the set's)")
    made.add_argument("--mean", type=float, nargs=3, metavar=("B", "G", "R"), help="mean pixel")
    made.add_argument("--threshold", type=fraction, default=0.5, help="of p (default: 0.5)")
    made.add_argument("--top", type=natural, help="so many labels, whatever their p")
    boxes = made.add_argument_group("boxes (nets with proposals)")
    boxes.add_argument("--boxes", type=natural, default=10, help="at most (default: 10)")
    boxes.add_argument("--box-threshold", type=fraction, default=0.01, help="of S (default: 0.01)")
    boxes.add_argument("--method", help="of make_proposals.py (default: as the set's were made)")
    boxes.add_argument("--edges", metavar="FILE", help="structured forest of --method edgeboxes")
    boxes.add_argument("--score", choices=("proposal", "one"), help="(default: as in the test net)")
    made.add_argument("--format", choices=("text", "json"), default="text", help="what is printed")
    made.add_argument("--annotate", metavar="FOLDER", help="write the images with their answers")
    made.add_argument("--gpu", type=int, help="device to run on (default: the CPU)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 after one line that says what is wrong."""
    options = parser().parse_args(arguments)
    return exit_code("predict.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
