"""Stages 1 and 2 in small: nets of a few channels, seven images, weights of noise."""

import dataclasses
import json

import datasets
import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from models import generate
from tests.prepared_sets import CLASSES, make_set

SIZE = dataclasses.replace(
    datasets.DEMO,
    widths=(3, 4, 5, 6, 7),
    fc=9,
    grid=2,
    scales=(32, 48),
    student_side=64,
    boxes=6,
    score="proposal",
    kept=3,
    input_scale=1,
)
IMAGES, BATCH = 7, 3


def write_stages(folder, backbones=()):
    """models/, set/, runs/ with a teacher, student.caffemodel; the words all commands share.

    models/ has students with these backbones, too.
    """
    recipe = datasets.Recipe(batch=BATCH, epochs=3, base_lr=1e-4, drops=(), new_rate=1)
    recipes = dict.fromkeys(("pretrain", "wsddn", "student", "stage1", "stage2"), recipe)
    recipes = dict.fromkeys(datasets.with_baselines(recipes), recipe)
    solver = datasets.DEMO_SOLVER
    small = datasets.Dataset("demo", "small", len(CLASSES), IMAGES, SIZE, recipes, solver)
    for each in (small, *(generate.of_backbone(small, backbone) for backbone in backbones)):
        for path, (message, _) in generate.messages(each).items():
            file = folder / "models" / each.folder / f"{path}.prototxt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text_format.MessageToString(message))
    make_set(folder)
    write_weights(folder, "wsddn/deploy", folder / "runs/seed1/wsddn/wsddn_iter_1.caffemodel", 1)
    write_weights(folder, "student/deploy", folder / "student.caffemodel", 2)
    words = {"models": "models", "runs": "runs", "source": "set", "weights": "student.caffemodel"}
    return [word for name, path in words.items() for word in (f"--{name}", str(folder / path))]


def write_weights(folder, net, path, seed):
    """Weights of noise that neither fades nor grows on its way through the net."""
    net = caffe.Net(str(folder / "models" / "demo" / f"{net}.prototxt"), caffe.TEST)
    rng = np.random.default_rng(seed)
    for weight, bias in net.params.values():
        spread = np.sqrt(2 / weight.data[0].size)
        weight.data[...] = rng.normal(0, spread, weight.data.shape)
        bias.data[...] = rng.normal(0, 0.1, bias.data.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    net.save(str(path))


def edit_net(folder, stage, change, file="train"):
    """Apply `change` to the NetParameter of a stage's file."""
    path = folder / "models" / "demo" / stage / f"{file}.prototxt"
    net = text_format.Parse(path.read_text(), caffe_pb2.NetParameter())
    change(net)
    path.write_text(text_format.MessageToString(net))


def losses(runs, stage):
    """The logged losses of a run with --display 1, iteration by iteration."""
    lines = (runs / "seed1" / stage / "log.jsonl").read_text().splitlines()[1:]
    return [json.loads(line) for line in lines]
