"""HumanAttData: golden batches, boxes under mirror and factors, errors that name the line."""

import cv2
import numpy as np
import pytest

import caffe
from tests.data_checks import replay_batches
from tests.layer_checks import net_from_text

TEXT = (
    'layer{name:"d" type:"HumanAttData" top:"data" top:"label_roi" %s human_att_data_param{'
    'source:"list.txt" att_num:2 bbox_num:1 new_height:4 new_width:6 %s}}'
)
IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 6)


def test_golden(tmp_path, monkeypatch):
    replay_batches(tmp_path, monkeypatch, "human_att_data")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(transform, param, line): the net on a list whose third line is `line`."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.repeat(IMAGE[:, :, None], 3, axis=2))

    def make_net(transform="", param="batch_size:1", line="a.png 1 0 1 0 3 2 0.5", text=TEXT):
        (tmp_path / "list.txt").write_text(f"a.png 0 1 0 0 5 3 1\n\n{line}\n", encoding="utf-8")
        return net_from_text(tmp_path, text % (transform, param))

    return make_net


def test_mirror_turns_the_boxes_with_the_image(make):
    caffe.set_random_seed(0)
    net, seen = make("transform_param{mirror:true}"), set()
    for step in range(40):
        net.forward()
        mirrored = bool(net.blobs["data"].data[0, 0, 0, 0] == IMAGE[0, 5])
        pixels = IMAGE[:, ::-1] if mirrored else IMAGE
        np.testing.assert_array_equal(net.blobs["data"].data[0, 2], pixels)
        second = [1, 0, 2, 0, 4, 2, 0.5] if mirrored else [1, 0, 1, 0, 3, 2, 0.5]
        want = second if step % 2 else [0, 1, 0, 0, 5, 3, 1]
        np.testing.assert_array_equal(net.blobs["label_roi"].data, [want])
        seen.add((step % 2, mirrored))
    assert len(seen) == 4


def test_one_factor_per_batch_multiplies_image_and_boxes(make):
    caffe.set_random_seed(0)
    net, seen = make(param="batch_size:2 scale_factors:0.5 scale_factors:2"), set()
    for _ in range(20):
        net.forward()
        factor = net.blobs["data"].shape[2] / 4
        assert net.blobs["data"].shape == (2, 3, int(4 * factor), int(6 * factor))
        corners = net.blobs["label_roi"].data[:, 2:6]
        np.testing.assert_array_equal(corners, np.array([[0, 0, 5, 3], [1, 0, 3, 2]]) * factor)
        np.testing.assert_array_equal(net.blobs["label_roi"].data[:, 6], [1, 0.5])
        seen.add(factor)
    assert seen == {0.5, 2}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png 1 0 1 0 3 2", "expected 8 columns .*, got 7"),
        ("a.png 1 0 1 0 3 2 x", "expected numbers behind the path: .*'x'"),
        ("a.png 1 2 1 0 3 2 1", "expected labels 0 or 1, got 2"),
        ("a.png 1 0 3 0 1 2 1", r"box 0: expected x1 <= x2 in 0..5.*got \[3.0, 0.0, 1.0, 2.0"),
        ("a.png 1 0 1 0 6 2 1", r"box 0: expected x1 <= x2 in 0..5, y1 <= y2 in 0..3"),
        ("a.png 1 0 1 0 3 2 nan", "box 0: .*and a score"),
        ("b.png 1 0 1 0 3 2 1", "b.png: cannot read: No such file"),
    ],
)
def test_names_the_line_of_the_list(make, line, message):
    net = make(param="batch_size:2", line=line)
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" .*: list.txt:3: {message}'):
        net.forward()


@pytest.mark.parametrize(
    ("transform", "param", "message"),
    [
        ("transform_param{crop_size:3}", "batch_size:1", "crops and scale_factors"),
        ("", "batch_size:1 scale_factors:480", r"480 of 672 is 0.714286\), got \[480.0\]"),
        ("", "", "batch_size of at least 1, got 0"),
        ("", "batch_size:1 rand_skip:3", "rand_skip of at most 2, the lines of list.txt, got 3"),
        ("", "batch_size:1 crop_size:4", "human_att_data_param.crop_size has no effect"),
    ],
)
def test_names_what_does_not_fit(make, transform, param, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(HumanAttData\): .*{message}'):
        make(transform, param)


def test_resizes_to_both_sizes_or_neither(make):
    net = make(text=TEXT.replace("new_height:4 new_width:6", ""))
    assert net.forward()["data"].shape == (1, 3, 4, 6)
    with pytest.raises(caffe.CaffeError, match="both new_height and new_width"):
        make(text=TEXT.replace("new_width:6", ""))
