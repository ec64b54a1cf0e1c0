"""teacher.py: the teacher's part of a net, what identifies it, and its weights."""

import dataclasses
import json

import datasets
import method
import numpy as np
import pytest
import teacher
import train
from errors import UserError
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

DEMO = {dataset.name: dataset for dataset in datasets.DATASETS}["demo"]


def net_of(stage, **changes):
    dataset = dataclasses.replace(DEMO, size=dataclasses.replace(DEMO.size, **changes))
    build, _ = method.STAGES[f"{stage}/train"]
    return build(dataset).to_proto()


def names(part):
    return [layer.name for layer in part]


def test_the_part_is_what_the_students_losses_ask_for():
    part = names(teacher.part_of(net_of("stage1"), "stage1"))
    assert part[0] == "data"
    assert part[-4:] == ["data_student", "roi_selection", "teacher_roi_conv5_3", "teacher_features"]
    assert all(name.startswith("teacher_") for name in part[1:-4])
    assert "teacher_S" in part
    part = names(teacher.part_of(net_of("stage2"), "stage2"))
    assert part[-1] == "teacher_p"
    assert all(name.startswith("teacher_") for name in part[1:])


def test_a_net_without_such_a_teacher_is_named():
    net = caffe_pb2.NetParameter(name="plain")
    with pytest.raises(
        UserError, match='net "plain": expected the blobs teacher_p made from a Prop'
    ):
        teacher.part_of(net, "stage2")
    net = net_of("stage2")
    net.layer[0].python_param.layer = "OtherData"
    with pytest.raises(UserError, match="made from a ProposalData layer; give the --models"):
        teacher.part_of(net, "stage2")


def print_of(net, stage, path):
    return teacher.fingerprint(teacher.part_of(net, stage), path, "fp32")


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_the_fingerprint_is_of_the_teacher_alone(stage, weights):
    first = print_of(net_of(stage), stage, weights)
    assert print_of(net_of(stage, student_side=64, dropout=0.3), stage, weights) == first
    net = net_of(stage)
    param = json.loads(net.layer[0].python_param.param_str)
    param |= {"seed": 4, "start": 9, "batch_size": 5, "scales": [64], "source": "elsewhere"}
    net.layer[0].python_param.param_str = json.dumps(param)
    assert print_of(net, stage, weights) == first
    for changed in ({"fc": 99}, {"boxes": 60}, {"score_scale": 10}, {"score": "proposal"}):
        other = print_of(net_of(stage, **changed), stage, weights)
        assert other["net"] != first["net"], changed
        assert other["weights"] == first["weights"]
    selected = print_of(net_of(stage, kept=9), stage, weights)
    assert (selected["net"] == first["net"]) == (stage == "stage2")
    part = teacher.part_of(net_of(stage), stage)
    assert teacher.fingerprint(part, weights, "bf16") == {**first, "precision": "bf16"} != first
    weights.write_bytes(b"Weights")
    other = print_of(net_of(stage), stage, weights)
    assert other == {**first, "weights": other["weights"]} != first


def test_joined_nets_share_what_they_begin_with():
    parts = {s: teacher.part_of(net_of(s), s) for s in ("stage1", "stage2")}
    net, asked = teacher.joined(parts)
    learned = [la.name for la in net.layer if la.param]
    assert learned == [la.name for la in parts["stage1"] if la.param]
    assert len({la.name for la in net.layer}) == len(net.layer)
    assert net.layer[0].type == "Input"
    assert [list(shape.dim) for shape in net.layer[0].input_param.shape] == [
        [1, 3, 192, 192], [64, 6], [1, 64]]  # fmt: skip
    assert asked == {
        "stage1": {
            "rois_teacher": "stage1_rois_teacher",
            "teacher_features": "stage1_teacher_features",
        },
        "stage2": {"teacher_p": "stage2_teacher_p"},
    }
    alone, asked = teacher.joined({"stage2": parts["stage2"]})
    assert asked == {"stage2": {"teacher_p": "teacher_p"}}
    assert list(alone.layer)[1:] == parts["stage2"][1:]


def test_joined_nets_compute_what_each_computes(tmp_path):
    """Also where one stage alone changes a shared blob in place, or has a layer of its own."""
    parts = {s: teacher.part_of(net_of(s, boxes=5), s) for s in ("stage1", "stage2")}
    relu = caffe_pb2.LayerParameter(name="teacher_extra", type="ReLU")
    relu.bottom.append("teacher_fc8_c")
    relu.top.append("teacher_fc8_c")
    at = names(parts["stage1"]).index("teacher_prob_c")
    parts["stage1"].insert(at, relu)
    both, asked = teacher.joined(parts)
    wanted = {}
    for stage, part in parts.items():
        alone, same = teacher.joined({stage: part})
        assert list(same[stage]) == list(asked[stage])
        net = start(alone, tmp_path)
        wanted |= {asked[stage][blob]: net.blobs[blob].data.copy() for blob in same[stage]}
    net = start(both, tmp_path)
    for name, values in wanted.items():
        assert values.std() > 0
        np.testing.assert_array_equal(net.blobs[name].data, values, err_msg=name)


def start(message, folder):
    """The net after a forward pass, with numbers that its layers' names and shapes decide."""
    path = folder / "net.prototxt"
    path.write_text(text_format.MessageToString(message))
    net = caffe.Net(str(path), caffe.TEST)
    rng = np.random.default_rng(7)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(0, np.sqrt(2 / max(1, blob.data[0].size)), blob.data.shape)
    net.blobs["data"].data[...] = rng.normal(0, 9, net.blobs["data"].data.shape)
    corners = np.sort(rng.integers(0, 192, (2, 5, 2)), axis=0)
    net.blobs["rois"].data[:, 1:] = np.hstack([*corners, np.ones((5, 1))])
    net.forward()
    return net


def test_weights_go_to_the_layers_of_both_names_and_missing_ones_are_seen(tmp_path):
    parts = {s: teacher.part_of(net_of(s), s) for s in ("stage1", "stage2")}
    for layer in parts["stage2"]:  # so that this stage has an fc8_d of its own
        if layer.name == "teacher_fc8_c":
            layer.phase = caffe.TRAIN
    message, _ = teacher.joined(parts)
    deploy, saved = tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"
    deploy.write_text(text_format.MessageToString(method.wsddn_deploy(DEMO).to_proto()))
    source = caffe.Net(str(deploy), caffe.TEST)
    for number, blobs in enumerate(source.params.values(), 1):
        for blob in blobs:
            blob.data[...] = number
    source.save(str(saved))
    path = tmp_path / "net.prototxt"
    path.write_text(text_format.MessageToString(message))
    net = caffe.Net(str(path), caffe.TEST)
    assert {"stage1_teacher_fc8_c", "stage2_teacher_fc8_c"} <= set(net.params)
    teacher.load(net, saved, deploy)
    for name, blobs in net.params.items():
        original = source.params[name.partition("teacher_")[2]]
        for mine, blob in zip(blobs, original, strict=True):
            np.testing.assert_array_equal(mine.data, blob.data)


def test_a_teacher_without_weights_is_seen(tmp_path):
    path = tmp_path / "net.prototxt"
    message = net_of("stage2")
    message.layer[0].CopyFrom(
        teacher.joined({"stage2": teacher.part_of(message, "stage2")})[0].layer[0]
    )
    message.layer[0].top.append("label")
    message.layer[0].input_param.shape.add(dim=[1, 12])
    path.write_text(text_format.MessageToString(message))
    net = caffe.Net(str(path), caffe.TRAIN)
    assert teacher.is_missing(net)
    teachers = {name: blobs for name, blobs in net.params.items() if name.startswith("teacher_")}
    for blobs in teachers.values():
        blobs[1].data[3] = 1e-9
    assert not teacher.is_missing(net)
    teachers["teacher_fc7"][1].data[3] = 0  # of which a stage 1 of FitNets has nothing
    assert teacher.is_missing(net)
    path.write_text('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }')
    assert not teacher.is_missing(caffe.Net(str(path), caffe.TRAIN))


def options_of(*words):
    options = train.parser().parse_args(["stage1", *words])
    options.runs = options.runs or f"out/{options.dataset}"
    return options


def test_where_the_cache_lies():
    assert str(teacher.cache_file(options_of("--seed", "3"), "stage1")) == (
        "out/demo/seed3/teacher_cache/stage1.arr"
    )
    assert str(teacher.cache_file(options_of("--cache"), "stage2")) == (
        "out/demo/seed1/teacher_cache/stage2.arr"
    )
    assert str(teacher.cache_file(options_of("--cache", "/big"), "stage2")) == "/big/stage2.arr"


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ((), ""),
        (("--cache", "--base-lr", "1", "--iterations", "5"), ""),
        (("--seed", "2", "--gpu", "0"), " --seed 2 --gpu 0"),
        (("--score", "one", "--precision", "bf16"), " --score one --precision bf16"),
        (("--scales", "48", "64", "--batch-size", "7"), " --batch-size 7 --scales 48 64"),
        (("--cache", "/a b", "--teacher", "t"), " --teacher t --cache '/a b'"),
        (("--runs", "r", "--models", "m", "--source", "s"), " --models m --runs r --source s"),
    ],
)
def test_the_command_that_makes_the_cache(words, more):
    command = teacher.build_command(options_of(*words), ["stage1"])
    assert command == "python tools/cache_teacher.py stage1 --dataset demo" + more
