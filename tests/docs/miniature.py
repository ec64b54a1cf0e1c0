"""What stands in for what is large, or is not here: for blocks marked `in miniature: NAMES`.

Each NAME is a function of STAND_INS that furnishes a Workspace, once, before the first such block;
the block itself is run as it stands. Nets are written by models/generate.py, data sets by the
programs of data/, from a few images of noise.
"""

import csv
import json
import pathlib
import shutil
import sys

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from tests import data_trees
from tests.tools import original_fakes

VGG16, RESNET18 = "VGG_ILSVRC_16_layers.caffemodel", "resnet18.caffemodel"
STAGES = ("wsddn", "student", "stage2")  # what a table is made of
LINTED = {  # in pyproject.toml
    "[tool.ruff]\n": '[tool.ruff]\ninclude = ["caffe/errors.py"]\n',
    'packages = ["caffe"]\n': 'files = ["caffe/errors.py"]\nfollow_imports = "skip"\n',
}
# What the copy's models/ says instead of the paper's sizes: appended to two of its modules.
SIZES = """
_SMALL = replace(
    FULL, widths=(4, 4, 5, 6, 7), fc=9, grid=2, scales=(32, 48), side=48, student_side=64, kept=3
)
_CLASSES = {"coco": 3, "nuswide": 4}
DATASETS = tuple(
    replace(
        each,
        size=_SMALL,
        classes=_CLASSES.get(each.name, each.classes),
        recipes={name: replace(recipe, batch=2, epochs=1) for name, recipe in each.recipes.items()},
    )
    if each.size is FULL
    else each
    for each in DATASETS
)
"""
LENGTHS = """
_of_all_images = solver


def solver(dataset, stage, images):
    return _of_all_images(dataset, stage, min(images, 4))
"""
# What models/generate.py does without options, for one data set.
GENERATE = """
import sys
sys.path.insert(0, "models")
import generate
dataset = next(each for each in generate.DATASETS if each.name == {name!r})
for file in generate.dataset_files(dataset):
    generate.write(*file)
"""


class MissingError(Exception):
    """Something that a stand-in needs is not on this machine."""


def run(workspace, text):
    """Run shell commands that have to succeed."""
    done = workspace.run(text)
    if done.returncode:
        raise RuntimeError(f"{text}: {done.stdout}{done.stderr}")


def read_net(path):
    return text_format.Parse(path.read_text(), caffe_pb2.NetParameter())


def save_weights(net, path):
    """Weights of noise that neither fades nor grows on its way through the NetParameter."""
    made, random = caffe.Net(net, caffe.TEST), np.random.default_rng(1)
    for blobs in made.params.values():
        for blob in blobs:
            if len(blob.shape) > 1:
                spread = np.sqrt(2 / blob.data[0].size)
                blob.data[...] = random.normal(0, spread, blob.data.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(path))


def set_up(workspace):
    """A .venv in which the package is installed already."""
    shutil.copy(workspace.temporary / "run/python", workspace.folder / ".venv/bin/python")
    (workspace.folder / ".venv/ready").touch()


def demo(workspace):
    """`make demo` with a dozen small images and one iteration a stage."""
    set_up(workspace)
    workspace.variables |= {
        "DRAW": "--train 8 --test 4 --objects 8 --size 64",
        "TRAIN": "--iterations 1 --batch-size 2 --display 1",
    }


def tests(workspace):
    """`make test` with one file of tests, in one process."""
    set_up(workspace)
    workspace.variables["PYTEST_ADDOPTS"] = "--maxprocesses=1 tests/test_lr_policy.py"


def lint(workspace):
    """`make lint` with one module."""
    file = workspace.folder / "pyproject.toml"
    text = file.read_text()
    for all_files, one in LINTED.items():
        assert all_files in text
        text = text.replace(all_files, one)
    file.write_text(text)
    set_up(workspace)
    for name in ("ruff", "mypy"):
        program = pathlib.Path(sys.executable).parent / name
        if not program.exists():
            raise MissingError(f"{program}: pip install '.[lint]'")
        (workspace.folder / ".venv/bin" / name).symlink_to(program)


def full_size(workspace):
    """models/generate.py with a few channels in the paper's nets; weights named like VGG16's."""
    for name, text in (("datasets", SIZES), ("solvers", LENGTHS)):
        with open(workspace.folder / f"models/{name}.py", "a") as file:
            file.write(text)
    generate(workspace, "coco")
    for net, file in (("student", VGG16), ("resnet18/student", RESNET18)):
        message = read_net(workspace.folder / f"models/coco/{net}/deploy.prototxt")
        for layer in message.layer:
            layer.name = layer.name.replace("fc8_labels", "fc8")  # ImageNet's, of other classes
        save_weights(message, workspace.folder / file)


def generate(workspace, name):
    run(workspace, f"python - <<'END'\n{GENERATE.format(name=name)}\nEND")


def propose(workspace, name):
    for split in ("train", "test"):
        run(workspace, f"python data/make_proposals.py --set data/{name}/{split} --boxes 500")


def coco(workspace):
    """data/coco from ten images, boxes of a detector, photo.jpg."""
    root = workspace.folder / "data/coco"
    data_trees.coco_tree(root, count=6)
    for name, split in (("train", "train"), ("val", "test")):
        annotations = root / f"annotations/instances_{name}2014.json"
        run(
            workspace,
            f"python data/prepare_coco.py --annotations {annotations} "
            f"--images data/coco/{name}2014 --out data/coco/{split}",
        )
        found = [
            {key: box[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.5}
            for box in json.loads(annotations.read_text())["annotations"]
        ]
        (workspace.folder / f"faster_rcnn_{name}.json").write_text(json.dumps(found))
    propose(workspace, "coco")
    data_trees.write_image(workspace.folder / "photo.jpg", 1)


def nuswide(workspace):
    """data/nuswide from eight images; nets that were trained on it, so to say."""
    generate(workspace, "nuswide")
    data_trees.nuswide_tree(workspace.folder / "data/nuswide", counts=(4, 4))
    run(
        workspace,
        "python data/prepare_nuswide.py --root data/nuswide --images data/nuswide/Flickr "
        "--out data/nuswide",
    )
    propose(workspace, "nuswide")
    for stage in STAGES:
        net = "wsddn" if stage == "wsddn" else "student"
        message = read_net(workspace.folder / f"models/nuswide/{net}/deploy.prototxt")
        file = f"out/nuswide/seed1/{stage}/{stage}_iter_2.caffemodel"
        save_weights(message, workspace.folder / file)


def voc2007(workspace):
    """data/voc2007 from nine images."""
    generate(workspace, "voc2007")
    data_trees.voc_tree(workspace.folder / "data/voc2007", count=9)
    for name, split in (("trainval", "train"), ("test", "test")):
        run(
            workspace,
            f"python data/prepare_voc.py --devkit data/voc2007/VOCdevkit --split {name} "
            f"--out data/voc2007/{split}",
        )
    propose(workspace, "voc2007")


def photos(workspace):
    """photos/ and labels.csv: nine images, seven classes."""
    with open(workspace.folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "labels", "split"])
        for number in range(9):
            name = f"{number}.jpg"
            data_trees.write_image(workspace.folder / "photos" / name, number)
            labels = {f"thing{number % 7}", f"thing{number * number % 7}"}
            table.writerow([name, ";".join(sorted(labels)), "train" if number < 7 else "test"])


def large(workspace):
    """data/large, whose boxes have no scores, and its nets; behind what `photos` is for."""
    run(
        workspace,
        "python models/generate.py --dataset large --classes 7 --images 7\n"
        "cp -r data/mine data/large\n"
        "python data/make_proposals.py --set data/large/train --score one --boxes 500",
    )


def imagenet(workspace):
    """AlexNet and ResNet-50 with a sixteenth of their channels, and AlexNet for one image."""
    for name in ("alexnet", "resnet50"):
        path = workspace.folder / f"models/imagenet/{name}/deploy.prototxt"
        net = read_net(path)
        net.layer[0].input_param.shape[0].dim[0] = 1
        for layer in net.layer:
            for param in (layer.convolution_param, layer.inner_product_param):
                if param.HasField("num_output"):
                    param.num_output = max(1, param.num_output // 16)
        path.write_text(text_format.MessageToString(net))


def original(workspace):
    """This engine as BVLC's in ~/caffe, which python3.8 runs; weights and inputs for both."""
    home = workspace.temporary / "home"
    (home / "fakes").mkdir(parents=True)
    (home / "caffe/build/lib").mkdir(parents=True)
    _, python, _, path = original_fakes.bvlc(home / "fakes")
    package, _, others = path.partition(":")
    (home / "caffe/python").symlink_to(package)
    workspace.add_program("python3.8", f'PYTHONPATH="$PYTHONPATH:{others}" exec {python} "$@"')
    workspace.variables["HOME"] = str(home)
    for net, file in (("imagenet/alexnet", "bvlc_alexnet"), ("mnist/lenet", "lenet")):
        message = read_net(workspace.folder / f"models/{net}/deploy.prototxt")
        save_weights(message, workspace.folder / f"{file}.caffemodel")
    random = np.random.default_rng(2)
    batch = {"data": random.random((5, 1, 28, 28)), "label": random.integers(0, 10, 5)}
    np.savez(workspace.folder / "batch.npz", **batch)


STAND_INS = {
    "set-up": set_up,
    "demo": demo,
    "tests": tests,
    "lint": lint,
    "full-size nets": full_size,
    "coco": coco,
    "nuswide": nuswide,
    "voc2007": voc2007,
    "photos": photos,
    "large": large,
    "imagenet nets": imagenet,
    "original": original,
}


def furnish(workspace, names):
    """Have what the comma-separated names say in the workspace; MissingError if it cannot be."""
    for name in names.split(", "):
        if name not in workspace.furnished:
            STAND_INS[name](workspace)
            workspace.furnished.add(name)
