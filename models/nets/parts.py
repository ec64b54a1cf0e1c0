"""What the nets have in common: layers with weights, data for both phases, heads, solvers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

import caffe
from caffe import layers as L
from caffe.net_spec import Top
from caffe.proto import caffe_pb2

IMAGENET_MEAN = [104, 117, 123]  # blue, green, red
IMAGENET_IMAGES = 1_281_167
IGNORED = 255  # the label of pixels without a class
TRAIN, TEST = {"phase": caffe.TRAIN}, {"phase": caffe.TEST}

AddLayers = Callable[[caffe.NetSpec], None]


@dataclass(frozen=True)
class Net:
    """One folder of models/: its path, what it holds and what writes each <stem>.prototxt."""

    path: str
    title: str
    files: dict[str, Callable[[], Message]]


def rates(factor: float = 1, bias: bool = True) -> list[dict[str, float]]:
    """`param` of a layer's weights and, if it has one, its bias: twice as fast, no decay."""
    both = [{"lr_mult": factor, "decay_mult": 1}, {"lr_mult": 2 * factor, "decay_mult": 0}]
    return both if bias else both[:1]


def gaussian(std: float) -> dict[str, Any]:
    return {"type": "gaussian", "std": std}


def constant(value: float) -> dict[str, Any]:
    return {"type": "constant", "value": value}


def add(n: caffe.NetSpec, top: str, kind: str, *bottoms: Top, **fields: Any) -> Top:
    """Add a layer; its name is `top` unless the fields name it."""
    n[top] = getattr(L, kind)(*bottoms, **fields)
    return n[top]


def learn(
    n: caffe.NetSpec, top: str, kind: str, bottom: Top, outputs: int, filler: Any, **fields: Any
) -> Top:
    """Add a layer with weights and, unless `bias_term` is False, a bias."""
    fields.setdefault("param", rates(bias=fields.get("bias_term", True)))
    return add(n, top, kind, bottom, num_output=outputs, weight_filler=filler, **fields)


def normalise(n: caffe.NetSpec, bottom: Top, batch_norm: str, scale: str) -> Top:
    """In place, the layers of these names: mean 0 and variance 1, then a learned slope and bias."""
    top = add(n, batch_norm, "BatchNorm", bottom, in_place=True)
    return add(n, scale, "Scale", top, in_place=True, bias_term=True)


def relu(n: caffe.NetSpec, name: str, bottom: Top) -> Top:
    return add(n, name, "ReLU", bottom, in_place=True)


def dropout(n: caffe.NetSpec, name: str, bottom: Top, ratio: float) -> Top:
    return add(n, name, "Dropout", bottom, in_place=True, dropout_ratio=ratio)


def max_pool(
    n: caffe.NetSpec, top: str, bottom: Top, kernel: int, stride: int, pad: int = 0
) -> Top:
    shape = {"kernel_size": kernel, "stride": stride} | ({"pad": pad} if pad else {})
    return add(n, top, "Pooling", bottom, pool="MAX", **shape)


def average_pool(n: caffe.NetSpec, top: str, bottom: Top, kernel: int, stride: int) -> Top:
    return add(n, top, "Pooling", bottom, pool="AVE", kernel_size=kernel, stride=stride)


def average_map(n: caffe.NetSpec, top: str, bottom: Top) -> Top:
    """(N, C, 1, 1), the means of maps of any size."""
    return add(n, top, "Pooling", bottom, pool="AVE", global_pooling=True)


def score_classes(
    n: caffe.NetSpec, scores: Top, loss: str = "loss", weight: float = 1, **accuracies: int
) -> None:
    """A softmax loss and, in TEST, one accuracy for each `name=top_k`."""
    more = {} if weight == 1 else {"loss_weight": weight}
    add(n, loss, "SoftmaxWithLoss", scores, n.label, **more)
    for name, top_k in accuracies.items():
        more = {} if top_k == 1 else {"top_k": top_k}
        add(n, name, "Accuracy", scores, n.label, include=TEST, **more)


def train_val(
    name: str, add_layers: AddLayers, kind: str, train: dict[str, Any], test: dict[str, Any]
) -> caffe_pb2.NetParameter:
    """A net for both phases: a data layer of type `kind` for each, then what `add_layers` adds."""
    n, other = caffe.NetSpec(), caffe.NetSpec()
    for spec, include, fields in ((n, TRAIN, train), (other, TEST, test)):
        spec.data, spec.label = getattr(L, kind)(ntop=2, include=include, **fields)
    add_layers(n)
    first, *rest = n.to_proto().layer
    return caffe_pb2.NetParameter(name=name, layer=[first, *other.to_proto().layer, *rest])


def deploy(name: str, add_layers: AddLayers, shape: Sequence[int]) -> caffe_pb2.NetParameter:
    """A net that reads the blob `data` (N, C, H, W), which its user fills."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": list(shape)})
    add_layers(n)
    made = n.to_proto()
    made.name = name
    return made


def database(folder: str, batch: int, **transform: Any) -> dict[str, Any]:
    """The fields of a Data layer."""
    fields = {"source": folder, "batch_size": batch, "backend": "LMDB"}
    return fields | ({"transform_param": transform} if transform else {})


def imagenet(
    name: str, add_layers: AddLayers, batches: tuple[int, int], side: int, **transform: Any
) -> caffe_pb2.NetParameter:
    """`train_val` on pieces (3, side, side) of ImageNet's images; batch sizes of both phases."""
    crop = {"crop_size": side, "mean_value": IMAGENET_MEAN} | transform
    train = database("data/imagenet/train_lmdb", batches[0], mirror=True, **crop)
    test = database("data/imagenet/val_lmdb", batches[1], **crop)
    return train_val(name, add_layers, "Data", train, test)


def imagenet_classifier(
    path: str,
    name: str,
    scores: Callable[[caffe.NetSpec], Top],
    images: int,
    make_solver: Callable[[], Message],
    **transform: Any,
) -> Net:
    """A net at 224 x 224 whose `scores` go into a softmax loss; `images` of a step side by side."""

    def learning(n: caffe.NetSpec) -> None:
        score_classes(n, scores(n), **{"accuracy/top-1": 1, "accuracy/top-5": 5})

    def deployed(n: caffe.NetSpec) -> None:
        n.prob = L.Softmax(scores(n))

    files = {
        "train_val": lambda: imagenet(name, learning, (images, 25), 224, **transform),
        "deploy": lambda: deploy(name, deployed, (1, 3, 224, 224)),
        "solver": make_solver,
    }
    return Net(path, f"{name} on ImageNet", files)


def segmented(folder: str, split: str, batch: int, **transform: Any) -> dict[str, Any]:
    """The fields of an ImageSegData layer: images, shuffled if they are mirrored, and labels."""
    fields = {
        "root_folder": f"{folder}/",
        "source": f"{folder}/{split}.txt",
        "batch_size": batch,
        "shuffle": transform.get("mirror", False),
        "label_type": "PIXEL",
        "ignore_label": IGNORED,
    }
    return {"image_data_param": fields, "transform_param": transform}


def score_pixels(n: caffe.NetSpec, scores: Top, loss: str = "loss", **fields: Any) -> None:
    """A softmax loss over all labelled pixels; `fields` are the layer's."""
    inside = {"ignore_label": IGNORED} | fields.pop("loss_param", {})
    add(n, loss, "SoftmaxWithLoss", scores, n.label, loss_param=inside, **fields)


def solver(path: str, **fields: Any) -> caffe_pb2.SolverParameter:
    """Stochastic gradient descent with momentum 0.9 on `models/<path>/train_val.prototxt`."""
    own = {
        "net": f"models/{path}/train_val.prototxt",
        "type": "SGD",
        "momentum": 0.9,
        "snapshot_prefix": f"out/{path}/{path.rpartition('/')[2]}",
        "random_seed": 1,
    }
    return caffe_pb2.SolverParameter(**own | fields)
