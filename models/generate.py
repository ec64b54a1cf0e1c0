"""Write the nets and solvers below models/, for all data sets: python models/generate.py [--check]

models/<dataset>/<stage>/{train,train_cached,test,deploy,solver}.prototxt are this program's
output; change them here. The nets of models/<dataset>/<net>/ come from models/nets/. `--check`
writes nothing and exits with 1 if a file differs. Names of layers and blobs, and what the stages
compute, are explained in models/README.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message
from nets import NETS

import caffe
from caffe import layers as L
from caffe.files import write_atomic
from caffe.net_spec import Top
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text

ROOT = Path(__file__).parent
MEAN = [103.52, 116.28, 123.675]  # blue, green, red
CONVOLUTIONS = (2, 2, 3, 3, 3)  # VGG16's, per resolution
STRIDES = {"conv3_3": 4, "conv4_3": 8, "conv5_3": 16}  # of the maps that stage 1 may compare
TAPS = ("conv5_3",)  # those that it does compare
TEACHER_TEMPERATURE = 0.5  # t^c and t^d of stage 2
STUDENT_TEMPERATURE = 5.0  # where stage 2's learned t starts


@dataclass(frozen=True)
class Size:
    """Everything in which the demo's nets differ from those of the paper."""

    widths: tuple[int, ...]  # channels of conv1_x .. conv5_x
    fc: int  # outputs of fc6 and fc7
    grid: int  # RoI pooling's; pool5 of the student makes the same grid
    scales: tuple[int, ...]  # sides of the training image; one is drawn per mini-batch
    side: int  # of the test image
    student_side: int
    boxes: int  # rows of `rois` per image
    score: str  # "proposal", or "one": every box counts alike
    score_scale: float  # RoI pooling multiplies by score_scale * score + score_bias
    score_bias: float
    kept: int  # at most so many boxes per image in stage 1
    dropout: float
    # VGG16's weights expect pixels of 0..255 minus the mean. The demo's start from noise, made for
    # inputs near 1: its conv1_1 starts, and under Adam learns, this much smaller instead.
    input_scale: float


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one stage learns."""

    batch: int
    epochs: float
    base_lr: float
    # After these parts of the run the rate falls by `gamma`; without any it falls evenly to 0.
    drops: tuple[float, ...] = (2 / 3,)
    new_rate: float = 10.0  # lr_mult of a new classifier: those of VGG16 start from weights
    transfer_weight: float = 1.0  # of the distillation loss; lambda in stage 2


@dataclass(frozen=True)
class Dataset:
    """One folder of models/."""

    name: str
    title: str
    classes: int
    images: int  # of the training set; only the schedules depend on it
    size: Size
    recipes: dict[str, Recipe]
    solver: dict[str, Any]


FULL = Size(
    widths=(64, 128, 256, 512, 512),
    fc=4096,
    grid=7,
    scales=(480, 576, 672, 736, 832),
    side=672,
    student_side=224,
    boxes=500,
    score="proposal",
    score_scale=10,
    score_bias=1,
    kept=50,
    dropout=0.5,
    input_scale=1,
)
DEMO = Size(
    widths=(8, 16, 32, 64, 64),
    fc=256,
    grid=3,
    scales=(192,),
    side=192,
    student_side=96,
    boxes=64,
    score="one",
    score_scale=1,
    score_bias=0,
    kept=8,
    dropout=0.1,
    input_scale=1 / 64,
)

# The losses add up over K classes (or over a box's features), so their gradients are as many times
# larger than a mean's and the rates are small. WSDDN's own recipe is 1e-5 at one image a step,
# a tenth of it in the second half; the rate grows with the batch. Two thirds of the student's
# epochs with labels go to stage 2, the rest to stage 1: both students see the images equally often.
FULL_SOLVER = {"type": "SGD", "momentum": 0.9, "weight_decay": 5e-4}
FULL_RECIPES = {
    "wsddn": Recipe(batch=4, epochs=20, base_lr=4e-5, drops=(1 / 2,)),
    "student": Recipe(batch=32, epochs=18, base_lr=1e-4),
    "stage1": Recipe(batch=8, epochs=6, base_lr=1e-7),
    "stage2": Recipe(batch=8, epochs=12, base_lr=2.5e-5),
}
DEMO_OBJECTS = {"train": 12000, "test": 1200}
DEMO_TEST_BATCH = 100
DEMO_SOLVER = {"type": "Adam", "momentum": 0.9, "momentum2": 0.999}
DEMO_RECIPES = {
    "pretrain": Recipe(batch=32, epochs=6, base_lr=1e-3, drops=(), new_rate=1),
    "wsddn": Recipe(batch=8, epochs=5, base_lr=1e-3, drops=(), new_rate=1),
    "student": Recipe(batch=32, epochs=16, base_lr=1e-3, drops=(), new_rate=1),
    "stage1": Recipe(batch=32, epochs=8, base_lr=1e-3, drops=(), new_rate=1),
    "stage2": Recipe(batch=32, epochs=8, base_lr=1e-3, drops=(), new_rate=1),
}

DATASETS = (
    Dataset("coco", "MS-COCO 2014", 80, 82_081, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("nuswide", "NUS-WIDE", 81, 119_986, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("voc2007", "PASCAL VOC 2007", 20, 5_011, FULL, FULL_RECIPES, FULL_SOLVER),
    Dataset("demo", "the demo set", 12, 3_000, DEMO, DEMO_RECIPES, DEMO_SOLVER),
)

TRAINED, FROZEN, DEPLOYED = "trained", "frozen", "deployed"


class Branch:
    """One VGG16 of a net: adds layers under a prefix, all of them trained, frozen or deployed."""

    def __init__(
        self, net: caffe.NetSpec, size: Size, mode: str, prefix: str = "", new_rate: float = 1
    ) -> None:
        self.net, self.size, self.mode, self.prefix = net, size, mode, prefix
        self.new_rate = new_rate

    def add(self, name: str, kind: str, *bottoms: Top, **fields: Any) -> Top:
        """Add one layer; a frozen one runs in test phase whatever the net's phase is."""
        if self.mode == FROZEN:
            fields["phase"] = caffe.TEST
        self.net[self.prefix + name] = getattr(L, kind)(*bottoms, **fields)
        return self.net[self.prefix + name]

    def learn(self, name: str, kind: str, bottom: Top, rates=(1, 2), filler=None, **fields) -> Top:
        """Add a layer with weights and a bias, `rates` their lr_mults; a bias does not decay."""
        if self.mode == FROZEN:
            fields["param"] = [{"lr_mult": 0, "decay_mult": 0}] * 2
        elif self.mode == TRAINED:
            fields["param"] = [
                {"lr_mult": rate, "decay_mult": decay}
                for rate, decay in zip(rates, (1, 0), strict=True)
            ]
            fields["weight_filler"] = filler or {"type": "msra"}
        return self.add(name, kind, bottom, **fields)

    def convolve(self, data: Top) -> Top:
        """conv1_1 .. conv5_3 with their ReLUs and the four poolings between them."""
        top = data
        for i, (count, width) in enumerate(zip(CONVOLUTIONS, self.size.widths, strict=True), 1):
            for j in range(1, count + 1):
                top = self._conv_relu(f"{i}_{j}", top, width)
            if i < len(CONVOLUTIONS):
                top = self.add(f"pool{i}", "Pooling", top, pool="MAX", kernel_size=2, stride=2)
        return top

    def _conv_relu(self, number: str, bottom: Top, width: int) -> Top:
        first, scale = {}, self.size.input_scale
        if number == "1_1" and scale != 1:
            std = scale * (2 / (3 * 3 * 3)) ** 0.5  # msra's for 3x3 kernels on 3 channels
            first = {"rates": (scale, 2), "filler": {"type": "gaussian", "std": std}}
        shape = {"num_output": width, "kernel_size": 3, "pad": 1}
        top = self.learn(f"conv{number}", "Convolution", bottom, **first, **shape)
        return self.add(f"relu{number}", "ReLU", top, in_place=True)

    def connect(self, top: Top) -> Top:
        """fc6 and fc7 with ReLU and, while they learn, dropout."""
        for i in (6, 7):
            top = self.learn(f"fc{i}", "InnerProduct", top, num_output=self.size.fc)
            top = self.add(f"relu{i}", "ReLU", top, in_place=True)
            if self.mode == TRAINED:
                ratio = self.size.dropout
                top = self.add(f"drop{i}", "Dropout", top, in_place=True, dropout_ratio=ratio)
        return top

    def classify(self, name: str, fc7: Top, classes: int) -> Top:
        """A new classifier, at the recipe's own rate."""
        filler = {"type": "gaussian", "std": 0.01}
        options = {
            "rates": (self.new_rate, 2 * self.new_rate),
            "filler": filler,
            "num_output": classes,
        }
        return self.learn(name, "InnerProduct", fc7, **options)

    def reshape(self, name: str, bottom: Top, *dims: int) -> Top:
        return self.add(name, "Reshape", bottom, shape={"dim": list(dims)})

    def pool_rois(self, name: str, top: Top, rois: Top, stride: int, scale: float, bias: float):
        grid = {"pooled_h": self.size.grid, "pooled_w": self.size.grid}
        scores = {"score_scale": scale, "score_bias": bias}
        return self.add(name, "ROIPooling", top, rois, spatial_scale=1 / stride, **grid, **scores)

    def detect(self, data: Top, rois: Top, mask: Top, classes: int, temperature: float = 1) -> Top:
        """WSDDN: S (R,K) = softmax over classes * softmax over the image's boxes."""
        top = self.convolve(data)
        size = self.size
        top = self.pool_rois("roi_pool5", top, rois, 16, size.score_scale, size.score_bias)
        fc7 = self.connect(top)
        c, d = (self.classify(f"fc8_{branch}", fc7, classes) for branch in "cd")
        if temperature != 1:
            c = self.add("fc8_c_tempered", "Power", c, scale=1 / temperature)
            d = self.add("fc8_d_tempered", "Power", d, scale=1 / temperature)
        prob_c = self.add("prob_c", "Softmax", c)
        d = self.reshape("fc8_d_image", d, -1, size.boxes, classes)
        d = self.add("fc8_d_masked", "Bias", d, mask, axis=0)
        d = self.add("prob_d_image", "Softmax", d, axis=1)
        prob_d = self.reshape("prob_d", d, -1, classes)
        return self.add("S", "Eltwise", prob_c, prob_d, operation="PROD")

    def sum_boxes(self, scores: Top, classes: int) -> Top:
        """p (N,K) = sum of S over each image's boxes: their mean times their number."""
        boxes = self.size.boxes
        top = self.reshape("S_image", scores, -1, 1, boxes, classes)
        kernel = {"kernel_h": boxes, "kernel_w": 1}
        top = self.add("S_mean", "Pooling", top, pool="AVE", **kernel)
        top = self.add("S_sum", "Power", top, scale=boxes)
        return self.reshape("p", top, -1, classes)

    def recognise(self, data: Top, classifier: str, classes: int) -> Top:
        """The plain VGG16: convolutions, pool5, fc6, fc7, classifier."""
        top = self.convolve(data)
        top = self.add("pool5", "Pooling", top, pool="MAX", kernel_size=2, stride=2)
        return self.classify(classifier, self.connect(top), classes)


def add_data(n: caffe.NetSpec, dataset: Dataset, recipe: Recipe | None, rois: bool) -> None:
    """data, label and, with `rois`, rois and roi_mask; without a recipe the test images."""
    size = dataset.size
    training = recipe is not None
    options = {
        "source": f"data/{dataset.name}/{'train' if training else 'test'}",
        "batch_size": recipe.batch if training else 4,
        "scales": size.scales if training else [size.side],
        "mean": MEAN,
    }
    if rois:
        options |= {"boxes": size.boxes, "score": size.score}
    if training:
        options |= {"mirror": True, "shuffle": True}
    names = ("data", "label", "rois", "roi_mask")[: 4 if rois else 2]
    layer = {"module": "python_layers.proposal_data", "layer": "ProposalData"}
    tops = L.Python(ntop=len(names), param_str=json.dumps(options), **layer)
    for name, top in zip(names, tops, strict=True):
        n[name] = top


def add_cached_data(
    n: caffe.NetSpec, dataset: Dataset, stage: str, tops: tuple[str, ...], **more: Any
) -> None:
    """data, label and the teacher's blobs `tops`, read from the cache of the stage."""
    options = {
        "source": f"data/{dataset.name}/train",
        "cache": f"out/{dataset.name}/seed1/teacher_cache/{stage}.arr",
        "batch_size": dataset.recipes[stage].batch,
        "scales": dataset.size.scales,
        "mean": MEAN,
        "mirror": True,
        "shuffle": True,
        **more,
    }
    names = ("data", "label", *tops)
    layer = {"module": "python_layers.cached_teacher_data", "layer": "CachedTeacherData"}
    made = L.Python(ntop=len(names), param_str=json.dumps(options), **layer)
    for name, top in zip(names, made, strict=True):
        n[name] = top


def add_inputs(n: caffe.NetSpec, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        n[name] = L.Input(shape={"dim": list(shape)})


def add_student_data(n: caffe.NetSpec, size: Size) -> None:
    n.data_student = L.Interp(n.data, height=size.student_side, width=size.student_side)


def wsddn_train(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_data(n, dataset, dataset.recipes["wsddn"], rois=True)
    teacher = Branch(n, dataset.size, TRAINED, new_rate=dataset.recipes["wsddn"].new_rate)
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes)
    n.loss = L.CrossEntropyLoss(teacher.sum_boxes(scores, dataset.classes), n.label)
    return n


def wsddn_test(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_data(n, dataset, None, rois=True)
    add_detector(n, dataset)
    return n


def wsddn_deploy(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    side, boxes = dataset.size.side, dataset.size.boxes
    add_inputs(n, data=(1, 3, side, side), rois=(boxes, 6), roi_mask=(1, boxes))
    add_detector(n, dataset)
    return n


def add_detector(n: caffe.NetSpec, dataset: Dataset) -> None:
    teacher = Branch(n, dataset.size, DEPLOYED)
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes)
    teacher.sum_boxes(scores, dataset.classes)


def student_train(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    recipe = dataset.recipes["student"]
    add_data(n, dataset, recipe, rois=False)
    add_student_data(n, dataset.size)
    student = Branch(n, dataset.size, TRAINED, new_rate=recipe.new_rate)
    z = student.recognise(n.data_student, "fc8_labels", dataset.classes)
    n.loss = L.SigmoidCrossEntropyLoss(z, n.label)
    return n


def student_test(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_data(n, dataset, None, rois=False)
    add_student_data(n, dataset.size)
    student = Branch(n, dataset.size, DEPLOYED)
    n.p = L.Sigmoid(student.recognise(n.data_student, "fc8_labels", dataset.classes))
    return n


def student_deploy(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    side = dataset.size.student_side
    add_inputs(n, data=(1, 3, side, side))
    student = Branch(n, dataset.size, DEPLOYED)
    n.p = L.Sigmoid(student.recognise(n.data, "fc8_labels", dataset.classes))
    return n


def stage1_train(dataset: Dataset, student_size: Size | None = None) -> caffe.NetSpec:
    """L_f between the taps of the teacher and of the student, whose size may be another one."""
    n = caffe.NetSpec()
    add_data(n, dataset, dataset.recipes["stage1"], rois=True)
    n.silence = L.Silence(n.label, ntop=0)
    teacher = Branch(n, dataset.size, FROZEN, "teacher_")
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes)
    student = stage1_student(n, student_size or dataset.size)
    n.rois_teacher, n.rois_student = L.Python(
        *(n.rois, scores, n.roi_mask, n.data, n.data_student),
        ntop=2,
        name="roi_selection",
        module="python_layers.roi_selection",
        layer="RoISelection",
        param_str=json.dumps({"nms_iou": 0.5, "top": dataset.size.kept, "objectness": "max"}),
    )
    tap_features(teacher, n.rois_teacher, teacher.size)
    add_feature_loss(n, dataset, student)
    return n


def stage1_train_cached(dataset: Dataset) -> caffe.NetSpec:
    """stage1_train with the teacher's cache in the teacher's place."""
    n = caffe.NetSpec()
    tops, side = ("rois_student", "teacher_features"), dataset.size.student_side
    add_cached_data(n, dataset, "stage1", tops, student_side=side)
    n.silence = L.Silence(n.label, ntop=0)
    add_feature_loss(n, dataset, stage1_student(n, dataset.size))
    return n


def stage1_student(n: caffe.NetSpec, size: Size) -> Branch:
    """The student's convolutions on `data`."""
    student = Branch(n, size, TRAINED)
    add_student_data(n, size)
    student.convolve(n.data_student)
    return student


def add_feature_loss(n: caffe.NetSpec, dataset: Dataset, student: Branch) -> None:
    """L_f between teacher_features and what the student makes of rois_student."""
    features = tap_features(student, n.rois_student, dataset.size)
    n.loss_feature = L.FeatureL2Loss(
        *(n.teacher_features, features, n.rois_student),
        loss_weight=dataset.recipes["stage1"].transfer_weight,
    )


def tap_features(branch: Branch, rois: Top, teacher: Size) -> Top:
    """F (R',D): the pooled maps of all taps, joined and weighted by the box's score s'."""
    pooled = []
    for name in TAPS:
        stage = int(name[4]) - 1
        top = branch.net[branch.prefix + name.replace("conv", "relu")]
        if branch.size.widths[stage] != teacher.widths[stage]:  # Psi: as many channels as hers
            shape = {"num_output": teacher.widths[stage], "kernel_size": 1}
            top = branch.learn(f"psi_{name}", "Convolution", top, **shape)
        pooled.append(branch.pool_rois(f"roi_{name}", top, rois, STRIDES[name], 0, 1))
    return branch.add("features", "ScoreWeightedConcat", *pooled, rois)


def stage2_train(dataset: Dataset) -> caffe.NetSpec:
    """L_p + lambda * L_p' between p'^T and p'^S = sigmoid(z / t)."""
    n = caffe.NetSpec()
    add_data(n, dataset, dataset.recipes["stage2"], rois=True)
    teacher = Branch(n, dataset.size, FROZEN, "teacher_")
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes, TEACHER_TEMPERATURE)
    teacher.sum_boxes(scores, dataset.classes)
    add_prediction_losses(n, dataset)
    return n


def stage2_train_cached(dataset: Dataset) -> caffe.NetSpec:
    """stage2_train with the teacher's cache in the teacher's place."""
    n = caffe.NetSpec()
    add_cached_data(n, dataset, "stage2", ("teacher_p",))
    add_prediction_losses(n, dataset)
    return n


def add_prediction_losses(n: caffe.NetSpec, dataset: Dataset) -> None:
    """The student on `data`; L_p against `label` and lambda * L_p' against teacher_p."""
    recipe = dataset.recipes["stage2"]
    add_student_data(n, dataset.size)
    student = Branch(n, dataset.size, TRAINED, new_rate=recipe.new_rate)
    z = student.recognise(n.data_student, "fc8_labels", dataset.classes)
    n.loss = L.SigmoidCrossEntropyLoss(z, n.label)
    # A Parameter layer starts at 0, so it holds what is learned of t: t = start + offset.
    learned = {"lr_mult": 10, "decay_mult": 0}
    n.temperature_offset = L.Parameter(param=learned, parameter_param={"shape": {}})
    n.inverse_temperature = L.Power(n.temperature_offset, shift=STUDENT_TEMPERATURE, power=-1)
    n.fc8_tempered = L.Scale(z, n.inverse_temperature, axis=0)
    n.p_student = L.Sigmoid(n.fc8_tempered)
    n.loss_prediction = L.PredictionL2Loss(
        n.teacher_p, n.p_student, loss_weight=recipe.transfer_weight
    )


def object_net(dataset: Dataset, recipe: Recipe | None) -> caffe.NetSpec:
    """Single-object classification, the demo's stand-in for ImageNet; without a recipe to test."""
    n = caffe.NetSpec()
    split, training = ("train", True) if recipe else ("test", False)
    side = dataset.size.student_side
    n.data, n.label = L.ImageData(
        ntop=2,
        source=f"data/{dataset.name}/objects_{split}.txt",
        root_folder=f"data/{dataset.name}/",
        batch_size=recipe.batch if recipe else DEMO_TEST_BATCH,
        new_height=side,
        new_width=side,
        shuffle=training,
        transform_param={"mirror": training, "mean_value": MEAN},
    )
    branch = Branch(n, dataset.size, TRAINED if training else DEPLOYED)
    z = branch.recognise(n.data, "fc8_objects", dataset.classes)
    n.loss = L.SoftmaxWithLoss(z, n.label)
    n.accuracy = L.Accuracy(z, n.label)
    return n


def schedule(recipe: Recipe, max_iter: int) -> dict[str, Any]:
    if not recipe.drops:
        return {"lr_policy": "poly", "power": 1}
    steps = [round(part * max_iter) for part in recipe.drops]
    return {"lr_policy": "multistep", "stepvalue": steps, "gamma": 0.1}


def solver(dataset: Dataset, stage: str, images: int) -> caffe_pb2.SolverParameter:
    recipe = dataset.recipes[stage]
    steps_per_epoch = -(-images // recipe.batch)
    max_iter = round(recipe.epochs * steps_per_epoch)
    return caffe_pb2.SolverParameter(
        net=f"models/{dataset.name}/{stage}/train.prototxt",
        base_lr=recipe.base_lr,
        max_iter=max_iter,
        display=20,
        snapshot=steps_per_epoch,
        snapshot_prefix=f"out/{dataset.name}/{stage}/{stage}",
        random_seed=1,
        **schedule(recipe, max_iter),
        **dataset.solver,
    )


def pretrain_solver(dataset: Dataset) -> caffe_pb2.SolverParameter:
    message = solver(dataset, "pretrain", DEMO_OBJECTS["train"])
    message.test_net.append(f"models/{dataset.name}/pretrain/test.prototxt")
    message.test_iter.append(DEMO_OBJECTS["test"] // DEMO_TEST_BATCH)
    message.test_interval = message.snapshot
    message.test_initialization = False
    return message


STAGES = {
    "wsddn/train": (wsddn_train, "the teacher T-WDet (WSDDN on VGG16)"),
    "wsddn/test": (wsddn_test, "the teacher T-WDet: S (R,K) and p (N,K) of the test images"),
    "wsddn/deploy": (wsddn_deploy, "the teacher T-WDet: S (R,K) and p (1,K) of one image"),
    "student/train": (student_train, "the student S-Cls (w/o), trained with labels alone"),
    "student/test": (student_test, "any student: p (N,K) of the test images"),
    "student/deploy": (student_deploy, "any student: p (1,K) of one image"),
    "stage1/train": (stage1_train, "stage 1, feature-level transfer (L_f)"),
    "stage2/train": (stage2_train, "stage 2, prediction-level transfer (L_p + lambda L_p')"),
    "stage1/train_cached": (stage1_train_cached, "stage 1 with the teacher's answers from a cache"),
    "stage2/train_cached": (stage2_train_cached, "stage 2 with the teacher's answers from a cache"),
}
WHAT = {
    "train_val": "the net for both phases, on its data",
    "deploy": "the net that reads the blob `data`",
    "solver": "its solver",
}


def messages(dataset: Dataset) -> dict[str, tuple[Message, str]]:
    """{path below models/<dataset>: (its message, what it is)}."""
    made = {}
    for path, (build, what) in STAGES.items():
        made[path] = build(dataset).to_proto(), what
    if "pretrain" in dataset.recipes:
        what = "single-object classification, from which the others start"
        recipe = dataset.recipes["pretrain"]
        made["pretrain/train"] = object_net(dataset, recipe).to_proto(), what
        made["pretrain/test"] = object_net(dataset, None).to_proto(), what
        made["pretrain/solver"] = pretrain_solver(dataset), f"solver of {what}"
    for stage in ("wsddn", "student", "stage1", "stage2"):
        what = f"solver of {STAGES[f'{stage}/train'][1]}"
        made[f"{stage}/solver"] = solver(dataset, stage, dataset.images), what
    for path, (message, _) in made.items():
        if isinstance(message, caffe_pb2.NetParameter):
            message.name = f"{dataset.name}_{path.replace('/', '_')}"
    return made


def header(title: str, what: str, origin: str = "models/generate.py") -> str:
    return f"# {title}: {what}.\n# Written by {origin}; change it there.\n"


def files() -> Iterator[tuple[Path, str, Message]]:
    """All that this program writes: (path, header, message)."""
    for dataset in DATASETS:
        for name, (message, what) in messages(dataset).items():
            path = ROOT / dataset.name / f"{name}.prototxt"
            yield path, header(dataset.title, what), message
    for net in NETS:
        for stem, build in net.files.items():
            head = header(net.title, WHAT[stem], "models/generate.py from models/nets/")
            yield ROOT / net.path / f"{stem}.prototxt", head, build()


def differs(path: Path, message: Message, head: str) -> bool:
    """Whether the file is missing or says anything else than the message and its header."""
    if not path.is_file() or not path.read_text(encoding="utf-8").startswith(head):
        return True
    return read_text(path, type(message)()) != message


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    check = parser.parse_args().check
    count, wrong = 0, []
    for path, head, message in files():
        count += 1
        if check and differs(path, message, head):
            wrong.append(path)
        elif not check:
            write_atomic(path, (head + text_format.MessageToString(message)).encode())
    for path in wrong:
        print(f"{path}: differs from models/generate.py", file=sys.stderr)
    print(f"{count} files, {len(wrong)} differ" if check else f"{count} files written")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
