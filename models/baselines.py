"""The nets of the four other methods, on the teacher and the student of ours.

hinton, fitnets and attention are the baselines of the paper's tables, released is what the authors
published. What each compares, and why with these weights, is told in models/README.md.
"""

import dataclasses
from functools import partial

from datasets import Dataset, Size
from method import (
    STRIDE,
    Stages,
    add_cached_data,
    add_labelled_student,
    add_student_data,
    live,
    temper,
    tempered_train,
    tempered_train_cached,
)
from vgg16 import TRAINED, Branch

import caffe
from caffe import layers as L
from caffe.net_spec import Top

SOFTENING = 2.0  # T of hinton's and fitnets' predictions
LEAST = 1e-4  # a probability of the teacher is at least that, and at most 1 minus that


def map_side(size: Size) -> int:
    """Rows of the student's conv5_3: each pooling halves and rounds up."""
    return -(-size.student_side // STRIDE)


def silence(n: caffe.NetSpec, *names: str) -> None:
    """Use the blobs of the data layer that no other layer uses."""
    n.silence = L.Silence(*(n[name] for name in names), ntop=0)


def soften(teacher: Branch, p: Top) -> Top:
    """sigmoid(logit(p) / T), the teacher's probabilities as at temperature T."""
    kept = teacher.add("p_kept", "Clip", p, min=LEAST, max=1 - LEAST)
    yes = teacher.add("log_p", "Log", kept)
    no = teacher.add("log_rest", "Log", kept, scale=-1, shift=1)
    logit = teacher.add("logit", "Eltwise", yes, no, operation="SUM", coeff=[1, -1])
    logit = teacher.add("logit_softened", "Power", logit, scale=1 / SOFTENING)
    return teacher.add("p_softened", "Sigmoid", logit)


def softened_train(dataset: Dataset, stage: str) -> caffe.NetSpec:
    """L_p + lambda T^2 times the cross-entropy between both nets' softened predictions."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, stage)
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes)
    soften(teacher, teacher.sum_boxes(scores, dataset.classes))
    add_softened_losses(n, dataset, stage)
    return n


def softened_train_cached(dataset: Dataset, stage: str) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_cached_data(n, dataset, stage, "teacher_p_softened")
    add_softened_losses(n, dataset, stage)
    return n


def add_softened_losses(n: caffe.NetSpec, dataset: Dataset, stage: str) -> None:
    recipe = dataset.recipes[stage]
    z = add_labelled_student(n, dataset, recipe)
    n.fc8_softened = L.Power(z, scale=1 / SOFTENING)
    n.loss_prediction = L.SigmoidCrossEntropyLoss(
        *(n.fc8_softened, n.teacher_p_softened),
        loss_weight=recipe.transfer_weight * SOFTENING**2,
    )


def maps_of_student(n: caffe.NetSpec, size: Size) -> tuple[Branch, Top]:
    """The student's convolutions on `data`, and their last map; a student without dropout."""
    add_student_data(n, size)
    # What the teacher's features were made without.
    student = Branch(n, dataclasses.replace(size, dropout=0), TRAINED)
    return student, student.convolve(n.data_student)


def hint_train(dataset: Dataset) -> caffe.NetSpec:
    """L2 between the teacher's map, at the student's size, and what Psi makes of the student's."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, "fitnets/stage1")
    silence(n, "label", "rois", "roi_mask")
    side = map_side(dataset.size)
    teacher.add("map", "Interp", teacher.convolve(n.data), height=side, width=side)
    add_hint_loss(n, dataset)
    return n


def hint_train_cached(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_cached_data(n, dataset, "fitnets/stage1", "teacher_map")
    silence(n, "label")
    add_hint_loss(n, dataset)
    return n


def add_hint_loss(n: caffe.NetSpec, dataset: Dataset) -> None:
    """The loss, so weighted that a number of the map counts as one of a pooled box in L_f."""
    size, recipe = dataset.size, dataset.recipes["fitnets/stage1"]
    student, conv5_3 = maps_of_student(n, size)
    shape = {"num_output": size.widths[-1], "kernel_size": 1}
    regressed = student.learn("psi_conv5_3", "Convolution", conv5_3, **shape)
    weight = recipe.transfer_weight * size.grid**2 / map_side(size) ** 2
    n.loss_feature = L.EuclideanLoss(regressed, n.teacher_map, loss_weight=weight)


def attend(branch: Branch, conv5_3: Top, side: int | None = None) -> Top:
    """a (N,1,1,H*W): sum_c F_c^2 of a map F, resized to `side`, as a vector of length 1."""
    width = branch.size.widths[-1]
    top = branch.add("squares", "Power", conv5_3, power=2)
    if side:
        top = branch.add("squares_resized", "Interp", top, height=side, width=side)
    top = branch.reshape("squares_rows", top, 0, 1, width, -1)
    # The mean over the channels: the sum's length would be divided out as well.
    kernel = {"kernel_h": width, "kernel_w": 1}
    top = branch.add("squares_mean", "Pooling", top, pool="AVE", **kernel)
    return branch.add("attention", "Normalization", top)


def attention_train(dataset: Dataset) -> caffe.NetSpec:
    """L_p + beta times the L2 between the maps of where the nets' features are strong."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, "attention/stage2")
    silence(n, "rois", "roi_mask")
    attend(teacher, teacher.convolve(n.data), map_side(dataset.size))
    add_attention_losses(n, dataset)
    return n


def attention_train_cached(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_cached_data(n, dataset, "attention/stage2", "teacher_attention")
    add_attention_losses(n, dataset)
    return n


def add_attention_losses(n: caffe.NetSpec, dataset: Dataset) -> None:
    recipe = dataset.recipes["attention/stage2"]
    add_labelled_student(n, dataset, recipe)
    attention = attend(Branch(n, dataset.size, TRAINED), n.relu5_3)
    # The paper takes the mean over the map's numbers, EuclideanLoss half their sum.
    weight = recipe.transfer_weight * 2 / map_side(dataset.size) ** 2
    n.loss_attention = L.EuclideanLoss(attention, n.teacher_attention, loss_weight=weight)


def fc7_train(dataset: Dataset) -> caffe.NetSpec:
    """L2 between both nets' fc7 features of all boxes."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, "released/stage1")
    silence(n, "label")
    student, conv5_3 = maps_of_student(n, dataset.size)
    n.rois_teacher, n.rois_student = L.Python(
        *(n.rois, n.roi_mask, n.data, n.data_student),
        ntop=2,
        name="all_rois",
        module="python_layers.all_rois",
        layer="AllRoIs",
    )
    connect_rois(teacher, teacher.convolve(n.data), n.rois_teacher)
    add_fc7_loss(n, dataset, student, conv5_3)
    return n


def fc7_train_cached(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_cached_data(n, dataset, "released/stage1", "rois_student", "teacher_fc7")
    silence(n, "label")
    add_fc7_loss(n, dataset, *maps_of_student(n, dataset.size))
    return n


def connect_rois(branch: Branch, conv5_3: Top, rois: Top) -> Top:
    """fc7 (R',D) of the boxes, weighted by their scores as T-WDet was trained."""
    size = branch.size
    top = branch.pool_rois("roi_pool5", conv5_3, rois, STRIDE, size.score_scale, size.score_bias)
    return branch.connect(top)


def add_fc7_loss(n: caffe.NetSpec, dataset: Dataset, student: Branch, conv5_3: Top) -> None:
    """The loss, so weighted that a number of fc7 counts as one of a pooled box in L_f."""
    size, recipe = dataset.size, dataset.recipes["released/stage1"]
    fc7 = connect_rois(student, conv5_3, n.rois_student)
    weight = recipe.transfer_weight * size.widths[-1] * size.grid**2 / size.fc
    n.loss_feature = L.FeatureL2Loss(n.teacher_fc7, fc7, n.rois_student, loss_weight=weight)


def add_tempered_losses(n: caffe.NetSpec, dataset: Dataset) -> None:
    """L_p + lambda times the cross-entropy of sigmoid(z / t) against p'^T."""
    recipe = dataset.recipes["released/stage2"]
    tempered = temper(n, add_labelled_student(n, dataset, recipe))
    n.loss_prediction = L.SigmoidCrossEntropyLoss(
        tempered, n.teacher_p, loss_weight=recipe.transfer_weight
    )


# (net, the same with a cache, what it is) of each stage
NETS = {
    "hinton/stage2": (
        partial(softened_train, stage="hinton/stage2"),
        partial(softened_train_cached, stage="hinton/stage2"),
        "Distillation (Hinton et al.), labels and softened predictions",
    ),
    "fitnets/stage1": (hint_train, hint_train_cached, "FitNets, stage 1: the teacher's map"),
    "fitnets/stage2": (
        partial(softened_train, stage="fitnets/stage2"),
        partial(softened_train_cached, stage="fitnets/stage2"),
        "FitNets, stage 2: labels and softened predictions",
    ),
    "attention/stage2": (
        attention_train,
        attention_train_cached,
        "Attention transfer, labels and attention maps",
    ),
    "released/stage1": (fc7_train, fc7_train_cached, "as released, stage 1: fc7 of all boxes"),
    "released/stage2": (
        partial(tempered_train, stage="released/stage2", add_losses=add_tempered_losses),
        partial(tempered_train_cached, stage="released/stage2", add_losses=add_tempered_losses),
        "as released, stage 2: labels and tempered predictions",
    ),
}
BASELINES: Stages = {}
for _stage, (_live, _cached, _what) in NETS.items():
    BASELINES[f"{_stage}/train"] = _live, _what
    BASELINES[f"{_stage}/train_cached"] = _cached, f"{_what}; the teacher's answers from a cache"
