"""Mini-batches for GPUs of several sizes: models/<folder>/presets.json, which tools/train.py reads.

Counted from the nets by caffe/footprint.py; nothing here was measured on a GPU. batch_size *
iter_size is always the batch of the solver's recipe, so that rates and schedule stay right.
"""

import json
from collections.abc import Mapping
from functools import cache

import torch
from google.protobuf.message import Message

import caffe
from caffe.footprint import of_training
from caffe.proto import caffe_pb2
from python_layers.data_shapes import with_inputs

MEMORIES = (8, 16, 24, 80)  # GB, as GPUs are sold: GiB in truth
# Not counted: PyTorch, CUDA and cuDNN's workspace, and a share for the allocator's fragments.
PROGRAM_BYTES, SHARE = 2**30, 0.9


def usable(memory: int) -> int:
    """Bytes of a GPU of so many GB that a training may count with."""
    return int(memory * 2**30 * SHARE) - PROGRAM_BYTES


def build(net: caffe_pb2.NetParameter) -> caffe.Net:
    """The net for mini-batches of one image of the largest scale, parameters without numbers."""
    with torch.device("meta"):
        return caffe.Net(with_inputs(net, 1), caffe.TRAIN)


def needed(net: caffe.Net, solver: caffe_pb2.SolverParameter, batch: int, recompute: bool) -> int:
    """Bytes of training with mini-batches of so many images; `net` is of one."""
    one = of_training(net, solver, recompute=recompute)
    return one._replace(maps=batch * one.maps, working=batch * one.working).peak


def choose(net: caffe.Net, solver: caffe_pb2.SolverParameter, batch: int, limit: int) -> dict:
    """The largest part of `batch` that fits into `limit` bytes; maps are only computed twice where
    not even one image fits otherwise.

    {batch_size, iter_size, recompute, bytes}; where nothing fits {bytes}, those of one image.
    """
    parts = [size for size in range(batch, 0, -1) if batch % size == 0]
    found = caffe_pb2.SolverParameter()
    found.CopyFrom(solver)
    for recompute in (False, True):
        for size in parts:
            found.iter_size = batch // size
            count = needed(net, found, size, recompute)
            if count <= limit:
                sizes = {"batch_size": size, "iter_size": found.iter_size}
                return {**sizes, "recompute": recompute, "bytes": count}
    return {"bytes": count}


def batch_of(net: caffe_pb2.NetParameter) -> int:
    """Images of a mini-batch, as the data layer has it."""
    data = net.layer[0]
    if data.type == "ImageData":
        return data.image_data_param.batch_size
    return json.loads(data.python_param.param_str)["batch_size"]


def of_stages(messages: Mapping[str, tuple[Message, str]]) -> dict[str, dict[str, dict]]:
    """{folder of a stage: {GB: what `choose` says}} of nets and solvers by path."""
    table = {}
    for path, (net, _) in messages.items():
        stage, _, name = path.rpartition("/")
        if name == "train":
            solver = messages[f"{stage}/solver"][0]
            table[stage] = dict(_rows(net.SerializeToString(), solver.SerializeToString()))
    return table


@cache
def _rows(net: bytes, solver: bytes) -> tuple[tuple[str, dict], ...]:
    """(GB, what `choose` says) of each memory; a net is counted once a process."""
    train, how = caffe_pb2.NetParameter.FromString(net), caffe_pb2.SolverParameter()
    how.ParseFromString(solver)
    built, batch = build(train), batch_of(train) * how.iter_size
    return tuple((str(gb), choose(built, how, batch, usable(gb))) for gb in MEMORIES)


def files(table: Mapping[str, Mapping[str, Mapping]]) -> dict[str, str]:
    """{path of presets.json: its text}: beside the stages' folders, JSON, a line for each GPU."""
    texts: dict[str, list[str]] = {}
    for folder, rows in table.items():
        parent, _, stage = folder.rpartition("/")
        lines = [f"  {json.dumps(memory)}: {json.dumps(row)}" for memory, row in rows.items()]
        text = f" {json.dumps(stage)}: {{\n" + ",\n".join(lines) + "\n }"
        texts.setdefault(f"{parent}/presets.json".lstrip("/"), []).append(text)
    return {path: "{\n" + ",\n".join(stages) + "\n}\n" for path, stages in texts.items()}
