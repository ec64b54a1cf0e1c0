"""Students with another backbone: train.py --backbone from their weights to stage 2, the cache."""

import shutil

import cache_teacher
import numpy as np
import pytest
import train
from google.protobuf import text_format
from options import BACKBONES

import caffe
from caffe import caffemodel
from caffe.proto import caffe_pb2
from tests.tools.tiny_stages import losses, write_stages

BEHIND = {"mobilenet_v1": ("conv5_6", "conv6"), "resnet18": ("res5", "bn5", "scale5")}
KEPT = 0.99  # of the old averages in a step


def write_start(folder, backbone):
    """<backbone>.caffemodel: noise, and averages whose weight is 1; its path."""
    net = caffe.Net(str(folder / f"models/demo/{backbone}/student/deploy.prototxt"), caffe.TEST)
    rng = np.random.default_rng(4)
    for name, (first, *rest) in net.params.items():
        if len(rest) == 2:  # BatchNorm's sums and their weight
            first.data[...] = rng.normal(0, 0.1, first.shape)
            rest[0].data[...], rest[1].data[...] = rng.uniform(0.5, 2, first.shape), 1
        elif "scale" in name:
            first.data[...] = rng.uniform(0.5, 1.5, first.shape)
        else:
            first.data[...] = rng.normal(0, np.sqrt(2 / first.data[0].size), first.shape)
    path = folder / f"{backbone}.caffemodel"
    net.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, words, {backbone: words with its weights}), the cache of the teacher in runs/."""
    folder = tmp_path_factory.mktemp("made")
    words = write_stages(folder, BACKBONES)
    assert cache_teacher.main(words) == 0
    given = {}
    for backbone in BACKBONES:
        start = words.index("--weights") + 1
        own = [*words[:start], write_start(folder, backbone), *words[start + 1 :]]
        given[backbone] = [*own, "--backbone", backbone]
    return folder, words, given


def learn(made, runs, backbone, *words):
    """Train in a copy of the runs."""
    if not runs.exists():
        shutil.copytree(made[0] / "runs", runs)
    return train.main([*words, *made[2][backbone], "--runs", str(runs), "--display", "1"])


def weights(path):
    layers = caffemodel.read(path).layers
    return {layer.name: [np.array(blob) for blob in layer.blobs] for layer in layers if layer.blobs}


def snapshot(runs, backbone, stage, iteration=2):
    return weights(runs / f"seed1/{backbone}/{stage}/{stage}_iter_{iteration}.caffemodel")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_stage2_starts_from_stage1_and_behind_its_tap_from_the_first_weights(
    made, tmp_path, backbone
):
    runs = tmp_path / "runs"
    assert learn(made, runs, backbone, "stage1", "--iterations", "2") == 0
    more = ("--iterations", "1", "--base-lr", "0")  # moves averages only
    assert learn(made, runs, backbone, "stage2", *more) == 0
    start, first = weights(made[0] / f"{backbone}.caffemodel"), snapshot(runs, backbone, "stage1")
    second = snapshot(runs, backbone, "stage2", 1)
    teacher = weights(runs / "seed1/wsddn/wsddn_iter_1.caffemodel")
    own = {name for name in first if not name.startswith("teacher_")} - {"psi_conv5_3"}
    assert own == {n for n in start if not n.startswith((*BEHIND[backbone], "fc8"))}
    assert "psi_conv5_3" not in second
    for name, blobs in start.items():
        begun = first[name] if name in own else blobs
        if len(blobs) == 3:
            assert second[name][2] == pytest.approx(KEPT * begun[2] + 1)
            assert not np.array_equal(second[name][0], begun[0])
            assert begun[2] == pytest.approx(KEPT * (KEPT + 1) + 1 if name in own else 1)
            continue
        for mine, blob, old in zip(second[name], begun, blobs, strict=True):
            assert np.array_equal(mine, blob), name
            assert np.array_equal(blob, old) != (name in own), name
    for name, blobs in teacher.items():
        for mine, blob in zip(second[f"teacher_{name}"], blobs, strict=True):
            assert np.array_equal(mine, blob)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_cache_serves_students_with_any_backbone(made, tmp_path, backbone):
    for name, more in (("live", ()), ("cached", ("--cache",))):
        given = ("stage1", "stage2", "--iterations", "2", *more)
        assert learn(made, tmp_path / name, backbone, *given) == 0
    for stage in ("stage1", "stage2"):
        live, cached = (losses(tmp_path / n, f"{backbone}/{stage}") for n in ("live", "cached"))
        for mine, other in zip(cached, live, strict=True):
            assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
    left = snapshot(tmp_path / "cached", backbone, "stage2")
    assert not any(name.startswith("teacher_") for name in left)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_plain_student_learns_everything_in_its_own_folder(made, tmp_path, backbone):
    runs = tmp_path / "runs"
    assert learn(made, runs, backbone, "student", "--iterations", "2") == 0
    assert sorted(path.name for path in (runs / "seed1").iterdir()) == sorted(
        ["teacher_cache", "wsddn", backbone]
    )
    start, after = weights(made[0] / f"{backbone}.caffemodel"), snapshot(runs, backbone, "student")
    assert set(start) == set(after)
    for name, blobs in start.items():
        assert not any(map(np.array_equal, blobs, after[name])), name


def test_without_weights_a_demo_student_starts_from_its_backbones_pretraining(made, tmp_path):
    folder, words, _ = made
    words = [*words[: words.index("--weights")], "--backbone", "resnet18"]
    words[words.index("--runs") + 1] = str(tmp_path)
    options = train.parser().parse_args(["student", *words])
    assert train.plan("pretrain", options).folder == tmp_path / "resnet18/pretrain"
    path = tmp_path / "resnet18/pretrain/pretrain_iter_7.caffemodel"
    path.parent.mkdir(parents=True)
    path.touch()
    assert train.plan("student", options).weights == (path,)
    assert train.net_folder(options, "student") == folder / "models/demo/resnet18/student"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wsddn", "--backbone", "resnet18"], "--backbone is the student's; train the teacher, "),
        (["student", "--backbone", "resnet18"], "wsddn_iter_1.caffemodel: no layer of it is in "),
        (
            ["student", "--dataset", "coco", "--models", "models", "--backbone", "mobilenet_v1"],
            "give --weights, a caffemodel for models/imagenet/mobilenet_v1 for nets of full width, "
            "the last of out/demo/mobilenet_v1/pretrain for thin ones",
        ),
    ],
)
def test_wrong_starts_are_one_line(made, tmp_path, capsys, words, message):
    vgg16 = str(made[0] / "runs/seed1/wsddn/wsddn_iter_1.caffemodel")
    given = [] if "coco" in words else [*made[1], "--weights", vgg16]
    assert train.main([*words, *given, "--runs", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("train.py: ")
    assert message in err
    assert err.count("\n") == 1


def test_weights_of_another_width_are_named(made, tmp_path, capsys):
    folder = tmp_path / "project"
    shutil.copytree(made[0], folder)
    net = folder / "models/demo/resnet18/student/deploy.prototxt"
    net.write_text(net.read_text().replace("num_output: 3\n", "num_output: 5\n"))
    path = write_start(folder, "resnet18")
    words = [*made[2]["resnet18"], "--weights", path, "--runs", str(tmp_path / "runs")]
    assert train.main(["student", *words]) == 1
    err = capsys.readouterr().err
    assert "conv1" in err
    assert "(5, 3, 7, 7)" in err
    assert "(3, 3, 7, 7)" in err


def test_weights_without_batch_norm_are_refused(made, tmp_path, capsys):
    deploy = made[0] / "models/demo/resnet18/student/deploy.prototxt"
    net = text_format.Parse(deploy.read_text(), caffe_pb2.NetParameter())
    rest = [layer for layer in net.layer if layer.type != "BatchNorm"]
    path = tmp_path / "merged.caffemodel"
    caffe.Net(caffe_pb2.NetParameter(layer=rest), caffe.TEST).save(str(path))
    words = [*made[2]["resnet18"], "--weights", str(path), "--runs", str(tmp_path / "runs")]
    assert train.main(["student", *words]) == 1
    err = capsys.readouterr().err
    assert f'{path}: expected weights for layer "bn_conv1" ((3,), (3,), (1,)), got none' in err
