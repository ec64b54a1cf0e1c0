"""The committed nets: what the program writes, what they compute, what a step of training moves."""

import dataclasses
import json
import re

import datasets
import numpy as np
import pytest
import teacher
import torch
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text
from models import generate

DATASETS = {dataset.name: dataset for dataset in generate.DATASETS}
DEMO = DATASETS["demo"]
FILES = [
    (dataset.name, path) for dataset in generate.DATASETS for path in generate.messages(dataset)
]
NETS = [(name, path) for name, path in FILES if not path.endswith("solver")]
TRAINED = [path for name, path in NETS if name == "demo" and "/train" in path]
STAGES = ("stage1", "stage2")
BATCH = 3


def read(name, path):
    kind = caffe_pb2.SolverParameter if path.endswith("solver") else caffe_pb2.NetParameter
    return read_text(generate.ROOT / name / f"{path}.prototxt", kind())


def phase_of(path):
    return caffe.TRAIN if "/train" in path else caffe.TEST


def with_inputs(net, dataset, batch=BATCH):
    """The net with an Input layer in the place of its data layer, for `batch` images."""
    size, out = dataset.size, caffe_pb2.NetParameter()
    out.CopyFrom(net)
    for layer in out.layer:
        if layer.type == "ImageData":
            shapes = [(batch, 3, size.student_side, size.student_side), (batch,)]
        elif layer.python_param.layer == "ProposalData":
            image = (batch, 3, size.side, size.side)
            rows = (batch * size.boxes, 6), (batch, size.boxes)
            shapes = [image, (batch, dataset.classes), *rows]
        elif layer.python_param.layer == "CachedTeacherData":
            image, labels = (batch, 3, size.side, size.side), (batch, dataset.classes)
            shapes = [image, labels, *cached_shapes(layer.top[2:], dataset, batch)]
        else:
            continue
        layer.type = "Input"
        layer.ClearField("python_param")
        layer.ClearField("image_data_param")
        for shape in shapes[: len(layer.top)]:
            layer.input_param.shape.add(dim=shape)
    return out


def cached_shapes(tops, dataset, batch):
    """Of the teacher's blobs, with as many boxes in each image as there may be."""
    size = dataset.size
    side = -(-size.student_side // 16)
    each = size.boxes if "teacher_fc7" in tops else size.kept
    shapes = {
        "rois_student": (batch * each, 6),
        "teacher_features": (batch * each, size.widths[-1] * size.grid**2),
        "teacher_fc7": (batch * each, size.fc),
        "teacher_map": (batch, size.widths[-1], side, side),
        "teacher_attention": (batch, 1, 1, side**2),
    }
    return [shapes.get(name, (batch, dataset.classes)) for name in tops]


def fill_data(net, dataset, rng, real):
    """Noise for images, `real[n]` boxes in image n, the other rows as the data layer fills them."""
    size = dataset.size
    for name in net.inputs:
        data = net.blobs[name].data
        if name == "data":
            data[...] = rng.normal(0, 50, data.shape)
        elif name == "label":
            data[...] = rng.integers(0, 2, data.shape)
        elif name.startswith("teacher_"):
            data[...] = rng.random(data.shape)
        elif name == "rois_student":
            corners = np.sort(rng.integers(0, size.student_side, (len(data), 2, 2)), axis=1)
            data[:, 0], data[:, 5] = np.repeat(np.arange(len(real)), len(data) // len(real)), 1
            data[:, 1:5] = corners.reshape(-1, 4)
    if "rois" not in net.inputs:
        return
    rois = net.blobs["rois"].data.reshape(len(real), size.boxes, 6)
    mask = net.blobs["roi_mask"].data
    for n, count in enumerate(real):
        corners = np.sort(rng.integers(0, size.side, (count, 2, 2)), axis=1).reshape(count, 4)
        rois[n, :, 0] = n
        rois[n, :count, 1:5], rois[n, :count, 5] = corners, rng.uniform(0.2, 1, count)
        rois[n, count:, 1:] = 0
        mask[n] = np.where(np.arange(size.boxes) < count, 0, -1e4)


def fill_weights(net, rng):
    """Weights of every layer such that signals keep their size and no classifier is flat."""
    for name, (weight, *bias) in net.params.items():
        if weight.data.ndim == 0:
            continue
        spread = 2 / weight.data[0].size
        spread *= datasets.DEMO.input_scale**2 if name.endswith("conv1_1") else 1
        weight.data[...] = rng.normal(0, np.sqrt(spread), weight.data.shape)
        for blob in bias:
            blob.data[...] = rng.normal(0, 0.05, blob.data.shape)


def build(path, dataset=DEMO, real=(64, 5, 37), seed=0):
    """A demo net with data and weights."""
    rng = np.random.default_rng(seed)
    message = generate.messages(dataset)[path][0]
    net = caffe.Net(with_inputs(message, dataset, len(real)), phase_of(path))
    fill_data(net, dataset, rng, real)
    fill_weights(net, rng)
    return net


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def detection(net, prefix="", t=1.0):
    """S (N,B,K) and p (N,K) from the two classifiers' outputs, in float64."""
    mask = net.blobs["roi_mask"].data.astype(np.float64)
    c, d = (net.blobs[f"{prefix}fc8_{branch}"].data.astype(np.float64) / t for branch in "cd")
    c, d = (x.reshape(*mask.shape, -1) for x in (c, d))
    scores = softmax(c, 2) * softmax(d + mask[:, :, None], 1)
    return scores, scores.sum(1)


@pytest.mark.parametrize("path", [path for name, path in NETS if name == "coco"])
def test_the_demo_nets_have_the_layers_of_the_full_ones(path):
    wiring = {
        name: [(la.name, la.type, list(la.bottom), list(la.top)) for la in read(name, path).layer]
        for name in DATASETS
    }
    assert wiring["demo"] == wiring["coco"] == wiring["nuswide"] == wiring["voc2007"]


@pytest.mark.parametrize(("name", "path"), NETS)
def test_every_net_builds(name, path, monkeypatch):
    # Zeros that take no memory: fc6 alone has 411 MB.
    monkeypatch.setattr("caffe.layer.fill", lambda shape, _: torch.zeros(()).expand(shape))
    dataset = DATASETS[name]
    size, classes = dataset.size, dataset.classes
    message = with_inputs(read(name, path), dataset)
    net = caffe.Net(message, phase_of(path))
    blobs, width = net.blobs, size.widths[-1]
    prefix = "teacher_" if "stage" in path else ""
    if f"{prefix}S" in blobs:
        images = blobs["data"].shape[0]
        rows, side = images * size.boxes, size.side // 16
        assert blobs[f"{prefix}conv5_3"].shape == (images, width, side, side)
        assert blobs[f"{prefix}roi_pool5"].shape == (rows, width, size.grid, size.grid)
        assert blobs[f"{prefix}S"].shape == (rows, classes)
    if "data_student" in blobs:
        side = size.student_side // 16
        assert blobs["conv5_3"].shape == (BATCH, width, side, side)
    compared = {"map": "psi_conv5_3", "attention": "attention"}
    compared |= {"fc7": "fc7"} if path.startswith("released/stage1") else {}
    for hers, mine in compared.items():
        if f"teacher_{hers}" in blobs:
            assert blobs[mine].shape == blobs[f"teacher_{hers}"].shape
    for blob in ("p", "teacher_p", "teacher_p_softened", "p_student", "fc8_labels", "fc8_objects"):
        if blob in blobs:
            assert blobs[blob].shape == (blobs["data"].shape[0], classes), blob
    if "fc6" in net.params:
        assert net.params["fc6"][0].shape == (size.fc, width * size.grid**2)


@pytest.mark.parametrize("path", TRAINED)
@pytest.mark.parametrize("name", ["coco", "demo"])
def test_who_learns_how_fast(name, path):
    if name == "coco" and path.startswith("pretrain"):
        pytest.skip("the full nets start from ImageNet's weights")
    for layer in read(name, path).layer:
        rates = [(spec.lr_mult, spec.decay_mult) for spec in layer.param]
        new = {"coco": 10, "demo": 1}[name] if layer.name.startswith("fc8_") else 1
        first = 1 / 64 if (name, layer.name) == ("demo", "conv1_1") else 1
        if layer.name.startswith("teacher_"):
            assert layer.phase == caffe.TEST
            assert layer.HasField("phase")
            assert layer.type != "Dropout"
            assert rates in ([], [(0, 0), (0, 0)])
        elif layer.name == "temperature_offset":
            assert rates == [(10, 0)]
        elif layer.type in ("Convolution", "InnerProduct"):
            assert rates == [(first * new, 1), (2 * new, 0)]
        assert bool(rates) == (layer.type in ("Convolution", "InnerProduct", "Parameter"))


@pytest.mark.parametrize("path", TRAINED)
def test_a_training_step_moves_what_it_may(path, tmp_path):
    message = with_inputs(read("demo", path), DEMO)
    net_file, solver_file = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    net_file.write_text(text_format.MessageToString(message))
    options = read("demo", path.rpartition("/")[0] + "/solver")
    options.ClearField("test_net")
    options.ClearField("test_iter")
    options.ClearField("test_interval")
    options.net, options.snapshot_prefix = str(net_file), str(tmp_path / "s")
    options.solver_mode = options.CPU
    solver_file.write_text(text_format.MessageToString(options))
    solver = caffe.get_solver(str(solver_file))
    rng = np.random.default_rng(1)
    fill_data(solver.net, DEMO, rng, (64, 5, 37))
    fill_weights(solver.net, rng)
    before = {name: [b.data.copy() for b in blobs] for name, blobs in solver.net.params.items()}
    solver.step(1)
    moved = {
        (name, i)
        for name, blobs in solver.net.params.items()
        for i, blob in enumerate(blobs)
        if not np.array_equal(blob.data, before[name][i])
    }
    may = {(n, i) for n in before for i in range(len(before[n])) if not n.startswith("teacher_")}
    extra = {"fitnets/stage1": "|psi_conv5_3", "released/stage1": "|fc6|fc7"}
    stage = path.rpartition("/")[0]
    if stage.endswith("stage1"):
        learning = rf"conv\d_\d{extra.get(stage, '')}"
        assert {name for name, _ in may} == {n for n in before if re.fullmatch(learning, n)}
    assert moved == may
    counts = {"stage1": 26, "fitnets/stage1": 28, "released/stage1": 30, "wsddn": 34}
    counts |= {"stage2": 33, "released/stage2": 33}
    assert len(may) == counts.get(stage, 32)


@pytest.mark.parametrize("stage", teacher.ASKED)
@pytest.mark.parametrize("name", DATASETS)
def test_train_cached_is_train_without_the_teacher(name, stage):
    live, cached = (read(name, f"{stage}/{file}") for file in ("train", "train_cached"))
    asked = {la.name for la in teacher.part_of(live, stage)} - {"data_student"}
    student = [la for la in live.layer if la.name not in asked and la.type != "Silence"]
    assert [la for la in list(cached.layer)[1:] if la.type != "Silence"] == student
    made = {top for layer in cached.layer for top in layer.top}
    assert made.issuperset(bottom for layer in cached.layer for bottom in layer.bottom)
    mine, other = (json.loads(net.layer[0].python_param.param_str) for net in (cached, live))
    assert mine.pop("cache") == f"out/{name}/seed1/teacher_cache/{stage}.arr"
    side = mine.pop("student_side", None)
    with_boxes = stage in ("stage1", "released/stage1")
    assert side == (DATASETS[name].size.student_side if with_boxes else None)
    assert mine == {key: other[key] for key in other if key not in ("boxes", "score")}


def test_wsddn_computes_the_methods_formulas():
    net = build("wsddn/train")
    net.forward()
    scores, p = detection(net)
    y = net.blobs["label"].data
    np.testing.assert_allclose(net.blobs["S"].data.reshape(scores.shape), scores, atol=1e-6)
    np.testing.assert_allclose(net.blobs["p"].data, p, atol=2e-6)
    q = np.clip(p, 1e-4, 1 - 1e-4)
    loss = -(y * np.log(q) + (1 - y) * np.log(1 - q)).sum() / BATCH
    np.testing.assert_allclose(net.blobs["loss"].data, loss, rtol=1e-5)
    assert p.std() > 0.01  # the comparison above is of numbers that differ


def test_padding_rows_are_neutral():
    padded = build("wsddn/deploy", real=(37,))
    size = dataclasses.replace(DEMO.size, boxes=37)
    exact = build("wsddn/deploy", dataclasses.replace(DEMO, size=size), real=(37,))
    exact.blobs["data"].data[...] = padded.blobs["data"].data
    exact.blobs["rois"].data[...] = padded.blobs["rois"].data[:37]
    for name, blobs in padded.params.items():
        for mine, blob in zip(exact.params[name], blobs, strict=True):
            mine.data[...] = blob.data
    p, want = padded.forward()["p"].copy(), exact.forward()["p"]
    assert np.abs(p - want).max() <= 1e-6
    assert np.all(padded.blobs["S"].data[37:] == 0)
    padded.blobs["roi_mask"].data[...] = 0
    assert np.abs(padded.forward()["p"] - want).max() > 1e-3


def test_stage2_computes_the_methods_formulas():
    net = build("stage2/train")
    net.params["temperature_offset"][0].data[...] = -2  # t = 3
    net.forward()
    _, p_teacher = detection(net, "teacher_", t=0.5)
    np.testing.assert_allclose(net.blobs["teacher_p"].data, p_teacher, atol=2e-6)
    z, y = net.blobs["fc8_labels"].data.astype(np.float64), net.blobs["label"].data
    p_student = 1 / (1 + np.exp(-z / 3))
    np.testing.assert_allclose(net.blobs["p_student"].data, p_student, atol=1e-6)
    p = 1 / (1 + np.exp(-z))
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / BATCH
    np.testing.assert_allclose(net.blobs["loss"].data, loss, rtol=1e-5)
    transfer = ((p_teacher - p_student) ** 2).sum() / (2 * BATCH)
    np.testing.assert_allclose(net.blobs["loss_prediction"].data, transfer, rtol=1e-5)
    weights = {name: w for name, w in net.blob_loss_weights.items() if w}
    assert weights == {"loss": 1, "loss_prediction": 1}


def test_stage2_starts_at_temperature_5():
    net = caffe.Net(with_inputs(read("demo", "stage2/train"), DEMO), caffe.TRAIN)
    net.forward()
    assert net.blobs["inverse_temperature"].data == pytest.approx(0.2)


def test_stage1_compares_what_both_nets_see_in_the_kept_boxes():
    net = build("stage1/train")
    net.forward()
    rois, small = net.blobs["rois_teacher"].data, net.blobs["rois_student"].data
    kept = [int((rois[:, 0] == n).sum()) for n in range(BATCH)]
    assert sum(kept) == len(rois) > 0
    assert max(kept) <= DEMO.size.kept
    np.testing.assert_allclose(rois[:, 5], small[:, 5])
    f_teacher = net.blobs["teacher_roi_conv5_3"].data.astype(np.float64)
    f_student = net.blobs["roi_conv5_3"].data.astype(np.float64)
    assert f_teacher.shape == (len(rois), DEMO.size.widths[-1], 3, 3)
    weighted = rois[:, 5, None] * (f_teacher - f_student).reshape(len(rois), -1)
    squares = (weighted**2).sum(1)
    loss = sum(squares[rois[:, 0] == n].mean() for n in range(BATCH)) / (2 * BATCH)
    np.testing.assert_allclose(net.blobs["loss_feature"].data, loss, rtol=1e-5)


@pytest.mark.parametrize(("name", "grid", "scores"), [("coco", 7, (10, 1)), ("demo", 3, (1, 0))])
def test_the_teacher_weighs_by_proposal_score_and_stage1_pools_plainly(name, grid, scores):
    for path in ("wsddn/train", "wsddn/test", "wsddn/deploy", "stage1/train", "stage2/train"):
        for layer in read(name, path).layer:
            if layer.type == "ROIPooling":
                param = layer.roi_pooling_param
                assert (param.pooled_h, param.pooled_w) == (grid, grid)
                assert param.spatial_scale == 1 / 16
                want = scores if layer.name.endswith("roi_pool5") else (0, 1)
                assert (param.score_scale, param.score_bias) == want


def test_all_students_learn_equally_long():
    for dataset in generate.DATASETS:
        recipes = dataset.recipes
        for folder in ("", "hinton/", "fitnets/", "attention/", "released/"):
            stages = [recipes[folder + stage] for stage in STAGES if folder + stage in recipes]
            assert sum(recipe.epochs for recipe in stages) == recipes["student"].epochs


@pytest.mark.parametrize("name", DATASETS)
def test_solvers(name):
    dataset = DATASETS[name]
    for stage in ("wsddn", "student", *teacher.ASKED):
        solver, recipe = read(name, f"{stage}/solver"), dataset.recipes[stage]
        assert (generate.ROOT.parent / solver.net).is_file()
        assert solver.snapshot_prefix == f"out/{name}/{stage}/{stage.split('/')[-1]}"
        data = json.loads(read(name, f"{stage}/train").layer[0].python_param.param_str)
        assert data["source"] == f"data/{name}/train"
        seen = solver.max_iter * data["batch_size"]
        assert 0 <= seen - recipe.epochs * dataset.images <= recipe.epochs * data["batch_size"]
        assert len(solver.stepvalue) == len(recipe.drops)
        assert max(solver.stepvalue, default=0) < solver.max_iter
        assert solver.lr_policy == ("multistep" if recipe.drops else "poly")


def test_hand_computed_schedule():
    # 20 epochs of 82,081 images in batches of 4: 20 * 20,521 steps, the rate drops half way
    solver = read("coco", "wsddn/solver")
    assert (solver.max_iter, list(solver.stepvalue)) == (410_420, [205_210])


def test_pretraining_is_tested_on_all_test_objects():
    solver, net = read("demo", "pretrain/solver"), read("demo", "pretrain/test")
    assert list(solver.test_iter) == [12]
    assert net.layer[0].image_data_param.batch_size == 100
    assert datasets.DEMO_OBJECTS == {"train": 12000, "test": 1200}
