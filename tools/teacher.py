"""The frozen teacher of stages 1 and 2: its layers in their nets, its weights, its caches."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import run_files
from errors import UserError

import caffe
from caffe.proto import caffe_pb2
from python_layers import proposal_data
from python_layers.teacher_cache import file_sha256

Layers = list[caffe_pb2.LayerParameter]

PREFIX = "teacher_"
# What a stage asks of the teacher: {array of its cache: blob of its net}.
ASKED = {
    "stage1": {"boxes": "rois_teacher", "features": "teacher_features"},
    "stage2": {"p": "teacher_p"},
    "hinton/stage2": {"p": "teacher_p_softened"},
    "fitnets/stage1": {"map": "teacher_map"},
    "fitnets/stage2": {"p": "teacher_p_softened"},
    "attention/stage2": {"map": "teacher_attention"},
    "released/stage1": {"boxes": "rois_teacher", "features": "teacher_fc7"},
    "released/stage2": {"p": "teacher_p"},
}


def part_of(net: caffe_pb2.NetParameter, stage: str) -> Layers:
    """The layers that the blobs asked for need, in the net's order, the data layer first.

    UserError if the net does not make these blobs from a ProposalData layer.
    """
    asked = ASKED[stage].values()
    wanted, part = set(asked), []
    for layer in reversed(net.layer):
        if wanted.intersection(layer.top):
            part.append(layer)
            wanted.update(layer.bottom)
    part.reverse()
    made = {top for layer in part for top in layer.top}
    if not made.issuperset(asked) or part[0].python_param.layer != "ProposalData":
        raise UserError(
            f'net "{net.name}": expected the blobs {", ".join(asked)} made from a '
            "ProposalData layer; give the --models that the stage trains with"
        )
    return part


def data_options(layer: caffe_pb2.LayerParameter) -> dict:
    """The options of a ProposalData layer, with its defaults."""
    return proposal_data.read_options(layer.python_param.param_str, len(layer.top))


def fingerprint(part: Layers, weights: Path, precision: str) -> dict[str, str]:
    """SHA-256 of the teacher's weights and of its part of the net, and what it computes in.

    Of the data layer only what the teacher sees counts, and nothing of the student's size: the
    selection of boxes reads `data_student` for a top that no cache holds.
    """
    options = data_options(part[0])
    seen = json.dumps({key: options[key] for key in ("boxes", "score", "mean")})
    net = hashlib.sha256(seen.encode())
    for layer in part[1:]:
        if "data_student" not in layer.top:
            net.update(layer.SerializeToString(deterministic=True))
    return {
        "weights": file_sha256(weights),
        "net": net.hexdigest(),
        "precision": precision,
    }


def weights_file(options: argparse.Namespace) -> Path:
    """T-WDet's weights: --teacher, else where the seed's training of it ended."""
    folder = Path(options.runs) / f"seed{options.seed}" / "wsddn"
    return Path(options.teacher or run_files.last_weights(folder))


def joined(parts: Mapping[str, Layers]) -> tuple[caffe_pb2.NetParameter, dict[str, dict[str, str]]]:
    """One net of the parts of several stages, and {stage: {blob asked for: its name there}}.

    What all parts begin with is there once. The rest of each carries "<stage>_" in the names of
    layers and tops. An Input layer takes the data layer's place: data, rois, roi_mask.
    """
    bodies = [part[1:] for part in parts.values()]
    alike = (all(layer == row[0] for layer in row) for row in zip(*bodies, strict=False))
    common = sum(1 for _ in itertools.takewhile(bool, alike))
    net = caffe_pb2.NetParameter(name="teacher")
    net.layer.append(_input(next(iter(parts.values()))[0]))
    net.layer.extend(bodies[0][:common])
    names = {}
    for stage, body in zip(parts, bodies, strict=True):
        renamed: dict[str, str] = {}
        for layer in body[common:]:
            mine = net.layer.add()
            mine.CopyFrom(layer)
            mine.name = f"{stage}_{layer.name}"
            mine.bottom[:] = [renamed.get(name, name) for name in layer.bottom]
            renamed.update((name, f"{stage}_{name}") for name in layer.top)
            mine.top[:] = [renamed[name] for name in layer.top]
        names[stage] = {name: renamed.get(name, name) for name in ASKED[stage].values()}
    return net, names


def _input(data: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """The Input layer of one image, for a ProposalData layer."""
    options = data_options(data)
    side, boxes = options["scales"][0], options["boxes"]
    layer = caffe_pb2.LayerParameter(name=data.name, type="Input")
    shapes = {0: (1, 3, side, side), 2: (boxes, 6), 3: (1, boxes)}  # 1 is the label
    for number, shape in shapes.items():
        layer.top.append(data.top[number])
        layer.input_param.shape.add(dim=shape)
    return layer


def load(net: caffe.Net, weights: Path, deploy: Path) -> None:
    """Copy a trained T-WDet into the layers named [<stage>_]teacher_<its layer>."""
    teacher = caffe.Net(str(deploy), str(weights), caffe.TEST)
    for name, blobs in net.params.items():
        _, found, original = name.partition(PREFIX)
        if found:
            for mine, blob in zip(blobs, teacher.params[original], strict=True):
                mine.data[...] = blob.data


def is_missing(net: caffe.Net) -> bool:
    """Whether a layer of the net's teacher got no weights: without fillers they are 0."""
    layers = [blobs for name, blobs in net.params.items() if name.startswith(PREFIX)]
    return any(not any(blob.data.any() for blob in blobs) for blobs in layers)


def cache_file(options: argparse.Namespace, stage: str) -> Path:
    """Where the stage's cache lies: in the folder of --cache, else among the seed's results."""
    folder = options.cache or Path(options.runs) / f"seed{options.seed}" / "teacher_cache"
    return Path(folder) / f"{stage}.arr"


def build_command(options: argparse.Namespace, stages: Sequence[str]) -> str:
    """The command that makes the stages' caches for a training with these options."""
    short = [stage.rpartition("/")[2] for stage in stages]
    words = ["python", "tools/cache_teacher.py", *short, "--dataset", options.dataset]
    usual = {
        "method": "ours",
        "seed": 1,
        "models": "models",
        "runs": f"out/{options.dataset}",
        "precision": "fp32",
    }
    names = ("method", "seed", "models", "runs", "source", "batch_size", "scales", "student_size")
    names += ("score", "taps", "objectness", "teacher", "cache", "gpu", "precision")
    for name in names:
        value = getattr(options, name)
        if value not in (None, "", usual.get(name)):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)
