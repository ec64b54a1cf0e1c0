"""ImageSegData: crops, padding, mirror and scale move labels with pixels; label types; errors."""

import cv2
import numpy as np
import pytest

import caffe
from tests.layer_checks import net_from_text

TOPS = 'top:"data" top:"label" top:"data_dim"'
TEXT = (
    'layer{name:"d" type:"ImageSegData" %s transform_param{%s}'
    'image_data_param{source:"list.txt" root_folder:"in/" %s}}'
)
LABELS = np.arange(7 * 5, dtype=np.uint8).reshape(7, 5)
# The label of a pixel is its blue value, so both can be compared wherever a crop lies.
IMAGE = np.stack([LABELS, LABELS + 50, LABELS + 100], axis=2)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(transform, param, ...): the net on two images, the second of twice the size."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    cv2.imwrite("in/a.png", IMAGE)
    cv2.imwrite("in/a_label.png", LABELS)
    cv2.imwrite("in/b.png", np.full((14, 10, 3), 200, np.uint8))
    cv2.imwrite("in/b_label.png", np.full((14, 10), 20, np.uint8))

    def make_net(
        transform, param="label_type:PIXEL", phase=caffe.TRAIN, tops=TOPS, lines=None
    ) -> caffe.Net:
        lines = lines or ["a.png a_label.png", "b.png b_label.png"]
        (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8")
        return net_from_text(tmp_path, TEXT % (tops, transform, param), phase)

    return make_net


def test_whole_images_one_by_one(make):
    net = make("mean_value:1 mean_value:2 mean_value:3 scale:0.5")
    out = {name: array.copy() for name, array in net.forward().items()}
    np.testing.assert_array_equal(out["label"], LABELS[None, None])
    want = (IMAGE.astype(np.float32) - [1, 2, 3]) / 2
    np.testing.assert_array_equal(out["data"][0], want.transpose(2, 0, 1))
    np.testing.assert_array_equal(out["data_dim"], [[[[7, 5]]]])
    second = net.forward()
    assert second["data"].shape == (1, 3, 14, 10)
    np.testing.assert_array_equal(second["label"], np.full((1, 1, 14, 10), 20))
    np.testing.assert_array_equal(second["data_dim"], [[[[14, 10]]]])


def test_training_crops_and_mirrors_are_the_same_for_both(make):
    caffe.set_random_seed(3)
    net = make("crop_height:4 crop_width:3 mirror:true", lines=["a.png a_label.png"])
    seen = set()
    for _ in range(300):
        net.forward()
        label = net.blobs["label"].data[0, 0]
        np.testing.assert_array_equal(
            net.blobs["data"].data[0], np.stack([label + k for k in (0, 50, 100)])
        )
        seen.add((int(label.min()), bool(label[0, 0] > label[0, 1])))
        np.testing.assert_array_equal(net.blobs["data_dim"].data, [[[[4, 3]]]])
    assert seen == {(y * 5 + x, m) for y in range(4) for x in range(3) for m in (False, True)}


def test_crops_larger_than_the_image_are_filled_with_mean_and_ignore_label(make):
    net = make(
        "crop_height:9 crop_width:8 mean_value:10.6 mean_value:20 mean_value:30",
        "batch_size:2 label_type:PIXEL ignore_label:77",
        caffe.TEST,
    )
    out = net.forward()
    label = np.full((9, 8), 77)
    label[:7, :5] = LABELS
    np.testing.assert_array_equal(out["label"][0, 0], label)
    pixels = np.full((9, 8, 3), [11, 20, 30], np.float64)
    pixels[:7, :5] = IMAGE
    want = (pixels - [10.6, 20, 30]).transpose(2, 0, 1)
    np.testing.assert_allclose(out["data"][0], want, atol=1e-5)
    np.testing.assert_array_equal(out["label"][1], np.full((1, 9, 8), 20))
    np.testing.assert_array_equal(out["data_dim"].reshape(2, 2), [[7, 5], [9, 8]])


def test_scale_factors_take_the_nearest_label_and_mix_pixels(make):
    caffe.set_random_seed(0)
    net = make("scale_factors:1.5 scale_factors:0.5", lines=["a.png a_label.png"])
    seen = set()
    for _ in range(20):
        net.forward()
        height, width = net.blobs["label"].shape[2:]
        rows, columns = np.arange(height) * 7 // height, np.arange(width) * 5 // width
        np.testing.assert_array_equal(net.blobs["label"].data[0, 0], LABELS[np.ix_(rows, columns)])
        want = cv2.resize(IMAGE, (width, height), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(net.blobs["data"].data[0], want.transpose(2, 0, 1))
        seen.add((height, width))
    assert seen == {(10, 7), (3, 2)}


def test_new_sizes_take_the_nearest_label(make):
    net = make("", "label_type:PIXEL batch_size:2 new_height:14 new_width:10")
    out = net.forward()
    np.testing.assert_array_equal(
        out["label"][0, 0], LABELS[np.ix_(np.arange(14) // 2, np.arange(10) // 2)]
    )
    np.testing.assert_array_equal(out["data_dim"].reshape(2, 2), [[14, 10]] * 2)


@pytest.mark.parametrize(
    ("param", "line", "value"),
    [
        ("", "a.png 9", 9),  # IMAGE is the default
        ("label_type:NONE", "a.png", 255),
        ("label_type:NONE ignore_label:3", "a.png no_such_file.png", 3),
    ],
)
def test_label_maps_of_one_value(make, param, line, value):
    net = make("crop_height:2 crop_width:3", param, tops='top:"x" top:"y"', lines=[line])
    np.testing.assert_array_equal(net.forward()["y"], np.full((1, 1, 2, 3), value))


def test_shuffle_follows_the_seed(make):
    lines = [f"a.png {i}" for i in range(9)]

    def labels() -> list[float]:
        caffe.set_random_seed(7)
        net = make("", "shuffle:true batch_size:9", lines=lines)
        return [value for _ in range(2) for value in net.forward()["label"][:, 0, 0, 0].tolist()]

    first = labels()
    assert labels() == first
    assert sorted(first[:9]) == sorted(first[9:]) == list(range(9))
    assert first[:9] != first[9:]


@pytest.mark.parametrize(
    ("line", "param", "message"),
    [
        ("a.png", "label_type:PIXEL", r'expected "path label", got "a.png" \(or label_type: NONE'),
        ("a.png a_label.png", "", 'label of 0 to 255, got "a_label.png"; label maps need'),
        ("a.png 256", "", 'label of 0 to 255, got "256"'),
        ("a.png b_label.png", "label_type:PIXEL", r"b_label.png: .*\(7, 5\) like its.*\(14, 10\)"),
        ("a.png c.png", "label_type:PIXEL", "in/c.png: cannot read: No such file"),
    ],
)
def test_names_the_line_of_the_list(make, line, param, message):
    good = "a.png a_label.png" if "PIXEL" in param else "a.png 1"
    net = make("", f"{param} batch_size:2", lines=[good, "", line])
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" .*: list.txt:3: .*{message}'):
        net.forward()


@pytest.mark.parametrize(
    ("transform", "param", "message"),
    [
        ('mean_file:"m"', "", "mean_file is not supported; give mean_value"),
        ("", "ignore_label:-1", "ignore_label of 0 to 255, got -1"),
        ("", "new_height:3", "both new_height and new_width"),
        ("crop_height:3", "", "both crop_height and crop_width"),
        ("scale_factors:0", "", r"scale_factors above 0 and at most 16, got \[0.0\]"),
    ],
)
def test_names_what_does_not_fit(make, transform, param, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "d" \(ImageSegData\): .*{message}'):
        make(transform, param)
