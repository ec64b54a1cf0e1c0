"""stage_net.py: what the options change in a stage's net."""

import json

import baselines
import method
import numpy as np
import pytest
import stage_net
import train
from backbones import BACKBONES
from errors import UserError
from generate import of_backbone

import caffe
from tests.models.test_models import DEMO, fill_data, fill_weights, with_inputs

WIDTHS = {"conv3_3": 32, "conv4_3": 64, "conv5_3": 64}


def edited(build, stage, *words, dataset=DEMO):
    net = build(dataset).to_proto()
    options = train.parser().parse_args([stage, *words])
    return net, stage_net.edit(net, stage, options, start=3)


def pooled(maps, box, scale, grid=3):
    """The largest value of each cell of a box (y, x inclusive pixels), Fast R-CNN's rounding."""
    x1, y1, x2, y2 = (int(np.floor(v * scale + 0.5)) for v in box)
    size = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    cells = np.zeros((len(maps), grid, grid))
    for i in range(grid):
        for j in range(grid):
            rows = slice(y1 + i * size[1] // grid, y1 - (-(i + 1) * size[1] // grid))
            columns = slice(x1 + j * size[0] // grid, x1 - (-(j + 1) * size[0] // grid))
            cell = maps[:, rows, columns]
            cells[:, i, j] = cell.max((1, 2)) if cell.size else 0
    return cells.reshape(-1)


@pytest.mark.parametrize("taps", [["conv4_3"], ["conv5_3", "conv3_3"]])
def test_taps(taps):
    message, _ = edited(method.stage1_train, "stage1", "--taps", *taps)
    rng = np.random.default_rng(0)
    net = caffe.Net(with_inputs(message, DEMO), caffe.TRAIN)
    fill_data(net, DEMO, rng, (64, 5, 37))
    fill_weights(net, rng)
    net.forward()
    for prefix, rois in (("teacher_", "rois_teacher"), ("", "rois_student")):
        row = net.blobs[rois].data[-1]
        maps = [(net.blobs[prefix + tap].data[int(row[0])], tap) for tap in sorted(taps)]
        parts = [pooled(m, row[1:5], 1 / stage_net.STRIDES[tap]) for m, tap in maps]
        want = np.concatenate(parts) * row[5]
        assert len(want) == sum(WIDTHS[tap] for tap in taps) * 9
        np.testing.assert_allclose(net.blobs[f"{prefix}features"].data[-1], want, rtol=1e-5)
        assert want.std() > 0


def test_a_cached_net_gets_the_students_taps():
    live, _ = edited(method.stage1_train, "stage1", "--taps", "conv3_3", "conv5_3")
    cached, _ = edited(method.stage1_train_cached, "stage1", "--taps", "conv3_3", "conv5_3")
    names = {layer.name for layer in cached.layer}
    assert {"roi_conv3_3", "roi_conv5_3"} <= names
    assert [la for la in live.layer if la.name in names - {"data", "silence"}] == [
        la for la in cached.layer if la.name not in ("data", "silence")
    ]


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "vgg16"])
def test_only_vgg16_has_these_maps(backbone):
    with pytest.raises(UserError, match=r"--taps: net .* has no map conv4_3 of VGG16"):
        edited(
            method.stage1_train,
            "stage1",
            *("--taps", "conv4_3"),
            dataset=of_backbone(DEMO, backbone),
        )


def test_objectness_and_data():
    net, batch_size = edited(method.stage1_train, "stage1", "--objectness", "sum", "--seed", "5")
    (selection,) = (la for la in net.layer if la.python_param.layer == "RoISelection")
    param = json.loads(selection.python_param.param_str)
    assert param == {"nms_iou": 0.5, "top": 8, "objectness": "sum"}
    data = json.loads(net.layer[0].python_param.param_str)
    assert (batch_size, data["batch_size"], data["seed"], data["start"]) == (32, 32, 5, 3)


def test_the_students_size_is_that_of_the_teachers_maps():
    net, _ = edited(baselines.hint_train, "stage1", "--student-size", "100")
    sizes = {la.name: la.interp_param.height for la in net.layer if la.type == "Interp"}
    assert sizes == {"data_student": 100, "teacher_map": 7}
    net = caffe.Net(with_inputs(net, DEMO), caffe.TRAIN)
    assert net.blobs["psi_conv5_3"].shape[2:] == (7, 7)
