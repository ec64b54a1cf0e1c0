"""The net that a stage trains: what the options change in the committed one."""

from __future__ import annotations

import argparse
from pathlib import Path

from errors import UserError
from layer_options import kind_of, layers_of, options_of, set_options
from scores import use_score_one

from caffe.proto import caffe_pb2

DATA_LAYERS = ("ProposalData", "CachedTeacherData")
STRIDES = {"conv3_3": 4, "conv4_3": 8, "conv5_3": 16}  # of the maps that stage 1 may compare


def edit(
    net: caffe_pb2.NetParameter, stage: str, options: argparse.Namespace, start: int = 0
) -> int:
    """Apply the options, `start` as edit_data_layer takes it; the batch size in the end."""
    if options.score == "one":
        use_score_one(net)
    if options.student_size:
        edit_student_size(net, options.student_size)
    if stage == "stage1" and options.objectness:
        edit_objectness(net, options.objectness)
    if stage == "stage1" and options.taps:
        edit_taps(net, options.taps)
    return edit_data_layer(net, start, options)


def edit_data_layer(net: caffe_pb2.NetParameter, start: int, options: argparse.Namespace) -> int:
    """Apply batch size, sizes, source and seed to the data layer; the batch size in the end.

    `start` is the batch to continue with, so that a resumed run sees the images it would have seen.
    """
    for layer in layers_of(net, "ImageData", *DATA_LAYERS):
        if layer.type == "ImageData":
            images = layer.image_data_param
            if options.source:
                images.source = options.source
                images.root_folder = f"{Path(options.source).parent}/"
            images.batch_size = options.batch_size or images.batch_size
            return images.batch_size
        names = ("source", "batch_size", "scales")
        given = {name: getattr(options, name) for name in names if getattr(options, name)}
        set_options(layer, seed=options.seed, start=start, **given)
        return options_of(layer)["batch_size"]
    raise UserError(f'net "{net.name}" has no data layer (ImageData or ProposalData)')


def edit_student_size(net: caffe_pb2.NetParameter, size: int) -> None:
    """Set the size that the student's input is resized to, and the teacher's maps to its map's."""
    for layer in layers_of(net, "Interp"):
        own = size if "data_student" in layer.top else -(-size // STRIDES["conv5_3"])
        set_options(layer, height=own, width=own)


def edit_cache(net: caffe_pb2.NetParameter, cache: Path) -> None:
    """Name the teacher's cache, and the student's size, to the layer that reads the cache."""
    sizes = [
        options_of(layer)["height"]
        for layer in layers_of(net, "Interp")
        if "data_student" in layer.top
    ]
    for layer in layers_of(net, "CachedTeacherData"):
        set_options(layer, cache=str(cache))
        if "student_side" in options_of(layer):
            set_options(layer, student_side=sizes[0])


def edit_objectness(net: caffe_pb2.NetParameter, objectness: str) -> None:
    """Set how the selection of boxes makes one number of a box's scores."""
    for layer in layers_of(net, "RoISelection"):
        set_options(layer, objectness=objectness)


def edit_taps(net: caffe_pb2.NetParameter, taps: list[str]) -> None:
    """Compare the maps of these layers in the place of conv5_3, both nets' where there are both.

    UserError if the net has no such map, as a student with another backbone.
    """
    taps = sorted(set(taps))
    made = {top for layer in net.layer for top in layer.top}
    layers = list(net.layer)
    del net.layer[:]
    for layer in layers:
        prefix, found, _ = layer.name.rpartition("roi_conv5_3")
        if found:
            for tap in taps:
                if layer.bottom[0] != f"{prefix}conv5_3" or f"{prefix}{tap}" not in made:
                    raise UserError(f'--taps: net "{net.name}" has no map {prefix}{tap} of VGG16')
                _add_pooling(net, layer, prefix, tap)
            continue
        if kind_of(layer) == "ScoreWeightedConcat":
            prefix = layer.name.removesuffix("features")
            layer.bottom[:] = [*(f"{prefix}roi_{tap}" for tap in taps), layer.bottom[-1]]
        net.layer.append(layer)


def _add_pooling(
    net: caffe_pb2.NetParameter, model: caffe_pb2.LayerParameter, prefix: str, tap: str
) -> None:
    layer = net.layer.add()
    layer.CopyFrom(model)
    layer.name = layer.top[0] = f"{prefix}roi_{tap}"
    layer.bottom[0] = f"{prefix}{tap}"
    set_options(layer, spatial_scale=1 / STRIDES[tap])
