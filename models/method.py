"""The method's nets: the teacher, the student, stages 1 and 2."""

import json
from collections.abc import Callable
from functools import partial

from backbones import student_branch
from datasets import DEMO_TEST_BATCH, MEAN, Dataset, Recipe, Size
from vgg16 import DEPLOYED, FROZEN, TRAINED, Branch

import caffe
from caffe import layers as L
from caffe.net_spec import Top

Stages = dict[str, tuple[Callable[[Dataset], caffe.NetSpec], str]]
AddLosses = Callable[[caffe.NetSpec, Dataset], None]

TAP, STRIDE = "conv5_3", 16  # the map that stage 1 compares; tools/train.py --taps sets others
TEACHER_TEMPERATURE = 0.5  # t^c and t^d of stage 2
STUDENT_TEMPERATURE = 5.0  # where stage 2's learned t starts


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


def add_cached_data(n: caffe.NetSpec, dataset: Dataset, stage: str, *tops: str) -> None:
    """data, label and the teacher's blobs `tops`, read from the cache of the stage."""
    options = {
        "source": f"data/{dataset.name}/train",
        "cache": f"out/{dataset.name}/seed1/teacher_cache/{stage}.arr",
        "batch_size": dataset.recipes[stage].batch,
        "scales": dataset.size.scales,
        "mean": MEAN,
        "mirror": True,
        "shuffle": True,
    }
    if "rois_student" in tops:
        options["student_side"] = dataset.size.student_side
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
    branch = student_branch(n, dataset, TRAINED if training else DEPLOYED)
    z = branch.recognise(n.data, "fc8_objects", dataset.classes)
    n.loss = L.SoftmaxWithLoss(z, n.label)
    n.accuracy = L.Accuracy(z, n.label)
    return n


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
    add_labelled_student(n, dataset, recipe)
    return n


def student_test(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    add_data(n, dataset, None, rois=False)
    add_student_data(n, dataset.size)
    student = student_branch(n, dataset, DEPLOYED)
    n.p = L.Sigmoid(student.recognise(n.data_student, "fc8_labels", dataset.classes))
    return n


def student_deploy(dataset: Dataset) -> caffe.NetSpec:
    n = caffe.NetSpec()
    side = dataset.size.student_side
    add_inputs(n, data=(1, 3, side, side))
    student = student_branch(n, dataset, DEPLOYED)
    n.p = L.Sigmoid(student.recognise(n.data, "fc8_labels", dataset.classes))
    return n


def live(n: caffe.NetSpec, dataset: Dataset, stage: str) -> Branch:
    """The data layer, and a branch for the frozen teacher."""
    add_data(n, dataset, dataset.recipes[stage], rois=True)
    return Branch(n, dataset.size, FROZEN, "teacher_")


def stage1_train(dataset: Dataset) -> caffe.NetSpec:
    """L_f between the taps of the teacher and of the student."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, "stage1")
    n.silence = L.Silence(n.label, ntop=0)
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes)
    student = stage1_student(n, dataset)
    n.rois_teacher, n.rois_student = L.Python(
        *(n.rois, scores, n.roi_mask, n.data, n.data_student),
        ntop=2,
        name="roi_selection",
        module="python_layers.roi_selection",
        layer="RoISelection",
        param_str=json.dumps({"nms_iou": 0.5, "top": dataset.size.kept, "objectness": "max"}),
    )
    tap_features(teacher, n.rois_teacher)
    add_feature_loss(n, dataset, student)
    return n


def stage1_train_cached(dataset: Dataset) -> caffe.NetSpec:
    """stage1_train with the teacher's cache in the teacher's place."""
    n = caffe.NetSpec()
    add_cached_data(n, dataset, "stage1", "rois_student", "teacher_features")
    n.silence = L.Silence(n.label, ntop=0)
    add_feature_loss(n, dataset, stage1_student(n, dataset))
    return n


def stage1_student(n: caffe.NetSpec, dataset: Dataset) -> Branch:
    """The student's convolutions on `data`: VGG16's, those up to the tap of another backbone."""
    student = student_branch(n, dataset, TRAINED, dataset.recipes["stage1"].new_rate)
    add_student_data(n, dataset.size)
    student.convolve(n.data_student)
    return student


def add_feature_loss(n: caffe.NetSpec, dataset: Dataset, student: Branch) -> None:
    """L_f between teacher_features and what the student makes of rois_student."""
    features = tap_features(student, n.rois_student)
    n.loss_feature = L.FeatureL2Loss(
        *(n.teacher_features, features, n.rois_student),
        loss_weight=dataset.recipes["stage1"].transfer_weight,
    )


def tap_features(branch: Branch, rois: Top) -> Top:
    """F (R',D): the pooled map of the tap, weighted by the box's score s'."""
    pooled = branch.pool_rois(f"roi_{TAP}", branch.tap(TAP), rois, STRIDE, 0, 1)
    return branch.add("features", "ScoreWeightedConcat", pooled, rois)


def tempered_train(dataset: Dataset, stage: str, add_losses: AddLosses) -> caffe.NetSpec:
    """A student that learns from p'^T, by the losses that are added."""
    n = caffe.NetSpec()
    teacher = live(n, dataset, stage)
    scores = teacher.detect(n.data, n.rois, n.roi_mask, dataset.classes, TEACHER_TEMPERATURE)
    teacher.sum_boxes(scores, dataset.classes)
    add_losses(n, dataset)
    return n


def tempered_train_cached(dataset: Dataset, stage: str, add_losses: AddLosses) -> caffe.NetSpec:
    """tempered_train with the teacher's cache in the teacher's place."""
    n = caffe.NetSpec()
    add_cached_data(n, dataset, stage, "teacher_p")
    add_losses(n, dataset)
    return n


def add_prediction_losses(n: caffe.NetSpec, dataset: Dataset) -> None:
    """L_p + lambda * L_p' between p'^T and p'^S = sigmoid(z / t)."""
    recipe = dataset.recipes["stage2"]
    n.p_student = L.Sigmoid(temper(n, add_labelled_student(n, dataset, recipe)))
    n.loss_prediction = L.PredictionL2Loss(
        n.teacher_p, n.p_student, loss_weight=recipe.transfer_weight
    )


def add_labelled_student(n: caffe.NetSpec, dataset: Dataset, recipe: Recipe) -> Top:
    """z (N,K) of the whole student on `data`, and L_p against `label`."""
    add_student_data(n, dataset.size)
    student = student_branch(n, dataset, TRAINED, recipe.new_rate)
    z = student.recognise(n.data_student, "fc8_labels", dataset.classes)
    n.loss = L.SigmoidCrossEntropyLoss(z, n.label)
    return z


def temper(n: caffe.NetSpec, z: Top) -> Top:
    """z / t with the student's learned t."""
    # A Parameter layer starts at 0, so it holds what is learned of t: t = start + offset.
    learned = {"lr_mult": 10, "decay_mult": 0}
    n.temperature_offset = L.Parameter(param=learned, parameter_param={"shape": {}})
    n.inverse_temperature = L.Power(n.temperature_offset, shift=STUDENT_TEMPERATURE, power=-1)
    n.fc8_tempered = L.Scale(z, n.inverse_temperature, axis=0)
    return n.fc8_tempered


# {file below models/<dataset>: (its net, what it is)}
STAGES: Stages = {
    "wsddn/train": (wsddn_train, "the teacher T-WDet (WSDDN on VGG16)"),
    "wsddn/test": (wsddn_test, "the teacher T-WDet: S (R,K) and p (N,K) of the test images"),
    "wsddn/deploy": (wsddn_deploy, "the teacher T-WDet: S (R,K) and p (1,K) of one image"),
    "student/train": (student_train, "the student S-Cls (w/o), trained with labels alone"),
    "student/test": (student_test, "any student: p (N,K) of the test images"),
    "student/deploy": (student_deploy, "any student: p (1,K) of one image"),
    "stage1/train": (stage1_train, "stage 1, feature-level transfer (L_f)"),
    "stage2/train": (
        partial(tempered_train, stage="stage2", add_losses=add_prediction_losses),
        "stage 2, prediction-level transfer (L_p + lambda L_p')",
    ),
    "stage1/train_cached": (stage1_train_cached, "stage 1 with the teacher's answers from a cache"),
    "stage2/train_cached": (
        partial(tempered_train_cached, stage="stage2", add_losses=add_prediction_losses),
        "stage 2 with the teacher's answers from a cache",
    ),
}
