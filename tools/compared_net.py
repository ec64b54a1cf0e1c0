"""The net that two engines are to run: one phase, inputs in place of data layers, no randomness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import record_caffe
from errors import UserError
from run_files import read_prototxt

import caffe
from caffe.graph import filter_net
from caffe.proto import caffe_pb2
from caffe.upgrade import upgrade_net

Arrays = dict[str, np.ndarray]
Layer = caffe_pb2.LayerParameter

NO_GRADIENT = ("Accuracy", "ArgMax", "HDF5Output", "MatWrite", "SegAccuracy", "Silence")
# Which of a layer's bottoms holds what no normal distribution gives.
CLASSES = ("Accuracy", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss", "SoftmaxWithLoss")
YES_NO = {"SigmoidCrossEntropyLoss": 1, "CrossEntropyLoss": 1, "ContrastiveLoss": 2,
          "LSTM": 1, "RNN": 1}  # fmt: skip
BOXES = {"ROIPooling": "roi_pooling_param",
         "ROISpatialPyramidPooling": "roi_spatial_pyramid_pooling_param"}  # fmt: skip


@dataclass
class Compared:
    """A net without data layers and rules, its inputs, the gradients of its outputs.

    diffs: none where the net has losses. notes: what was changed to get here, in words.
    """

    net: caffe_pb2.NetParameter
    inputs: Arrays
    diffs: Arrays = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prepare(path: Path, phase: str, given: Mapping[str, np.ndarray], seed: int) -> Compared:
    """Read a net and give it inputs: of `given`, a data layer's first batch, or random numbers.

    Raises UserError for a net, data or `given` that do not fit.
    """
    random = np.random.default_rng(seed)
    net = read_prototxt(path, caffe_pb2.NetParameter())
    upgrade_net(net, str(path))
    net.state.phase = caffe_pb2.Phase.Value(phase)
    net = filter_net(net)
    for layer in net.layer:
        del layer.include[:], layer.exclude[:]
    compared = Compared(net, {})
    compared.notes += _still_random_layers(net, phase)
    _replace_data_layers(compared, given)
    shapes = _replace_input_layers(compared, given)
    if not set(given) <= set(compared.inputs) | set(shapes):
        names = ", ".join(sorted(set(given) - set(compared.inputs) - set(shapes)))
        raise UserError(f"--inputs: expected {', '.join(net.input)}, got also {names}")
    sizes = _blob_shapes(net)
    for name in shapes:
        array = given[name] if name in given else random_input(name, net, sizes, random)
        compared.inputs[name] = np.asarray(array, np.float32)
    _give_outputs_gradients(compared, sizes, random)
    net.ClearField("state")
    return compared


def _still_random_layers(net: caffe_pb2.NetParameter, phase: str) -> list[str]:
    """Let layers that draw random numbers do in TRAIN what they do in TEST."""
    stochastic = caffe_pb2.PoolingParameter.STOCHASTIC
    drawing = [
        layer
        for layer in net.layer
        if (layer.type == "Dropout" and layer.dropout_param.dropout_ratio > 0)
        or (layer.type == "Pooling" and layer.pooling_param.pool == stochastic)
    ]
    drawing = [
        layer
        for layer in drawing
        if (layer.phase if layer.HasField("phase") else net.state.phase) == caffe_pb2.TRAIN
    ]
    for layer in drawing:
        layer.phase = caffe_pb2.TEST
    names = ", ".join(f"{layer.name} ({layer.type})" for layer in drawing)
    if not names:
        return []
    return [f"run as in TEST, since the engines draw different random numbers: {names}"]


def _replace_data_layers(compared: Compared, given: Mapping[str, np.ndarray]) -> None:
    """Inputs in place of the layers that read data: given arrays, or what they deliver first."""
    net = compared.net
    sources = [la for la in net.layer if not la.bottom and la.type not in ("Input", "Parameter")]
    for layer in sources:
        tops = list(layer.top)
        if set(tops) <= set(given):
            arrays, origin = [given[name] for name in tops], "--inputs"
        else:
            arrays, origin = first_batch(layer, net.state.phase), "its first batch here"
        compared.inputs.update(zip(tops, (np.asarray(a, np.float32) for a in arrays), strict=True))
        compared.inputs.update(
            {name: np.asarray(given[name], np.float32) for name in tops if name in given}
        )
        for name in tops:
            _add_input(net, name, compared.inputs[name].shape)
        compared.notes.append(
            f"inputs in place of data layer {layer.name} ({layer.type}), from {origin}: "
            f"{', '.join(tops)}"
        )
    for layer in sources:
        net.layer.remove(layer)


def first_batch(layer: Layer, phase: int) -> list[np.ndarray]:
    """What a data layer's tops hold after one forward pass in this engine."""
    try:
        net = caffe.Net(caffe_pb2.NetParameter(layer=[layer]), phase)
        net.forward()
    except (caffe.CaffeError, ValueError, OSError) as error:
        raise UserError(
            f'layer "{layer.name}" ({layer.type}) cannot deliver a batch: {error}; '
            f"or give --inputs FILE.npz with the arrays {', '.join(layer.top)}"
        ) from None
    return [net.blobs[name].data.copy() for name in layer.top]


def _replace_input_layers(compared: Compared, given: Mapping[str, np.ndarray]) -> list[str]:
    """`input:` lines, which every Caffe knows, in place of Input layers; their names."""
    net, found = compared.net, []
    for layer in [layer for layer in net.layer if layer.type == "Input"]:
        shapes = [list(shape.dim) for shape in layer.input_param.shape]
        shapes = shapes * len(layer.top) if len(shapes) == 1 else shapes
        for place, name in enumerate(layer.top):
            if name not in given and place >= len(shapes):
                raise UserError(f'layer "{layer.name}" (Input): no shape for {name}; give --inputs')
            _add_input(net, name, given[name].shape if name in given else shapes[place])
            found.append(name)
        net.layer.remove(layer)
    return found


def _add_input(net: caffe_pb2.NetParameter, name: str, shape: tuple[int, ...]) -> None:
    net.input.append(name)
    net.input_shape.add(dim=shape)


def _blob_shapes(net: caffe_pb2.NetParameter) -> dict[str, tuple[int, ...]]:
    """The shape of each blob, as this engine makes them."""
    built = caffe.Net(net, net.state.phase)
    return {name: tuple(blob.shape) for name, blob in built.blobs.items()}


def readers(net: caffe_pb2.NetParameter, name: str) -> Iterator[tuple[Layer, int]]:
    """(layer, place) of each bottom that is this blob."""
    for layer in net.layer:
        for place, bottom in enumerate(layer.bottom):
            if bottom == name:
                yield layer, place


def random_input(
    name: str,
    net: caffe_pb2.NetParameter,
    shapes: Mapping[str, tuple[int, ...]],
    random: np.random.Generator,
) -> np.ndarray:
    """Numbers that the blob's readers can take: classes, 0 and 1, boxes, else standard normal."""
    shape = shapes[name]
    for layer, place in readers(net, name):
        first = shapes[layer.bottom[0]]
        if layer.type in CLASSES and place == 1:
            return random.integers(0, first[_class_axis(layer)], shape)
        if YES_NO.get(layer.type) == place:
            return random.integers(0, 2, shape)
        if layer.type in BOXES and place == 1:
            scale = getattr(layer, BOXES[layer.type]).spatial_scale
            return random_boxes(shape, first[0], np.array(first[:1:-1]) / scale, random)
    return random.standard_normal(shape)


def _class_axis(layer: Layer) -> int:
    param = layer.accuracy_param if layer.type == "Accuracy" else layer.softmax_param
    return param.axis


def random_boxes(
    shape: tuple[int, ...], images: int, size: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """rois (R, 5 or 6) in images of size (width, height), image after image."""
    count, columns = shape
    corners = np.sort(random.random((2, count, 2)), axis=0) * (size - 1)
    index = np.arange(count) * images // max(count, 1)
    return np.column_stack([index, corners[0], corners[1], random.random(count)])[:, :columns]


def _give_outputs_gradients(
    compared: Compared, shapes: Mapping[str, tuple[int, ...]], random: np.random.Generator
) -> None:
    """In a net without a loss let the outputs count as such, so that Caffe goes back from them."""
    net = compared.net
    if any(any(layer.loss_weight) or is_loss(layer) for layer in net.layer):
        return
    made = {top: layer for layer in net.layer for top in layer.top}
    read = {bottom for layer in net.layer for bottom in layer.bottom if bottom not in layer.top}
    for name in made:
        layer = made[name]
        if name in read or layer.type in NO_GRADIENT:
            continue
        layer.loss_weight[:] = layer.loss_weight or [0] * len(layer.top)
        layer.loss_weight[list(layer.top).index(name)] = 1
        compared.diffs[name] = random.standard_normal(shapes[name]).astype(np.float32)
    ends = ", ".join(compared.diffs)
    compared.notes.append(
        f"no loss: gradients from random ones of the outputs: {ends}"
        if ends
        else "no loss, and no output that has a gradient: no gradients are compared"
    )


def is_loss(layer: Layer) -> bool:
    """Whether it is a loss by its type, and not told otherwise."""
    return layer.type.endswith("Loss") and not layer.loss_weight


def write_random_weights(net: caffe_pb2.NetParameter, folder: Path, seed: int) -> None:
    """What the net starts from without weights: its fillers' numbers, random ones for zeros.

    Zeros would hide all behind them. Statistics of batch normalisation lie in 0.5..1.5. The folder
    is then one that tools/record_caffe.py can start from.
    """
    caffe.set_random_seed(seed)
    random = np.random.default_rng(seed)
    built = caffe.Net(net, caffe.TEST)
    types = {layer.name: layer.type for layer in net.layer}
    for layer, _, blob in record_caffe.parameters_of(built):
        if blob.data.any():
            continue
        numbers = random.uniform(-1, 1, blob.data.shape)
        if types[layer] in ("BN", "BatchNorm"):
            blob.data[...] = 1 + numbers / 2
        else:
            inputs = numbers.size // (numbers.shape or (1,))[0]
            blob.data[...] = numbers * np.sqrt(3 / max(inputs, 30))
    folder.mkdir()
    records = record_caffe.Records(str(folder))
    records.add_parameters("weights start", record_caffe.parameters_of(built))
    records.close()


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Each in an .npy file of its own: {name: file}."""
    folder.mkdir()
    files = {}
    for number, (name, array) in enumerate(arrays.items()):
        files[name] = str(folder / f"{number}.npy")
        np.save(files[name], array)
    return files


def unknown_fields(message: object, known: Mapping[str, list[str]], where: str) -> Iterator[str]:
    """The fields that a message sets and an original's caffe.proto does not have."""
    names = known.get(message.DESCRIPTOR.name, ())
    for key, value in message.ListFields():
        if key.name not in names:
            yield f"{where}{key.name}"
        elif key.message_type:
            for part in value if hasattr(value, "append") else [value]:
                yield from unknown_fields(part, known, f"{where}{key.name}.")
