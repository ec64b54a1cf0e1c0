"""WindowData: which windows are drawn, what a crop holds, mean, mirror; errors."""

import cv2
import numpy as np
import pytest

import caffe
from caffe import caffemodel
from tests.layer_checks import net_from_text

TEXT = (
    'layer{name:"w" type:"WindowData" top:"data" top:"label" transform_param{%s}'
    'window_data_param{source:"w.txt" root_folder:"in/" %s}}'
)
ROWS, COLUMNS = np.mgrid[0:30, 0:40]
IMAGE = np.stack([ROWS * 5, COLUMNS * 5, ROWS + COLUMNS], axis=2).astype(np.uint8)
WINDOWS = ["7 0.9 4 3 11 10", "5 0.5 8 6 15 13", "9 0.2 20 16 27 23", "8 0.35 0 0 7 7"]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(transform, param, windows): the net on one image with these windows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    cv2.imwrite("in/a.png", IMAGE)

    def make_net(transform="crop_size:8", param="batch_size:4", windows=WINDOWS, name="a.png"):
        head = ["# 0", name, "3", "30", "40", str(len(windows))]
        (tmp_path / "w.txt").write_text("\n".join([*head, *windows]), encoding="utf-8")
        return net_from_text(tmp_path, TEXT % (transform, param))

    return make_net


def _crop(window: str) -> np.ndarray:
    x1, y1, x2, y2 = map(int, window.split()[2:])
    return IMAGE[y1 : y2 + 1, x1 : x2 + 1].transpose(2, 0, 1)


def test_draws_background_then_objects_by_their_overlap(make):
    caffe.set_random_seed(1)
    net, seen = make(param="batch_size:5 fg_fraction:0.5 bg_threshold:0.3"), set()
    for _ in range(30):
        net.forward()
        label = net.blobs["label"].data.astype(int).tolist()
        assert label[:3] == [0, 0, 0]
        for item, data in zip(label, net.blobs["data"].data, strict=True):
            want = {0: WINDOWS[2], 7: WINDOWS[0], 5: WINDOWS[1]}[item]
            np.testing.assert_array_equal(data, _crop(want))
        seen.update(label)
    assert seen == {0, 5, 7}


def test_follows_the_seed(make):
    def labels(seed: int) -> list[float]:
        caffe.set_random_seed(seed)
        return make(param="batch_size:32 fg_fraction:1").forward()["label"].tolist()

    assert labels(3) == labels(3) != labels(4)


def test_mean_values_scale_and_mirror(make):
    caffe.set_random_seed(0)
    net = make(
        "crop_size:8 mirror:true scale:0.5 mean_value:1 mean_value:2 mean_value:3",
        "batch_size:1 fg_fraction:1 cache_images:true",
        WINDOWS[:1],
    )
    want = (_crop(WINDOWS[0]) - np.array([1.0, 2, 3])[:, None, None]) / 2
    seen = set()
    for _ in range(20):
        data = net.forward()["data"][0]
        mirrored = bool(data[1, 0, 0] > data[1, 0, 1])
        np.testing.assert_array_equal(data, want[:, :, ::-1] if mirrored else want)
        seen.add(mirrored)
    assert seen == {False, True}


def test_a_mean_file_counts_with_its_centre(make, tmp_path):
    mean = np.arange(3 * 12 * 12, dtype=np.float32).reshape(1, 3, 12, 12)
    (tmp_path / "mean").write_bytes(caffemodel.blob_proto(mean).SerializeToString())
    param = "batch_size:1 fg_fraction:1"
    net = make('crop_size:8 mean_file:"mean"', param, WINDOWS[:1])
    want = _crop(WINDOWS[0]) - mean[0, :, 2:10, 2:10]
    np.testing.assert_array_equal(net.forward()["data"][0], want)
    with pytest.raises(caffe.CaffeError, match=r'"w".*mean_file .* that holds \(3, 13, 13\)'):
        make('crop_size:13 mean_file:"mean"', param, WINDOWS[:1])


@pytest.mark.parametrize("mirror", [False, True])
def test_context_outside_of_the_image_is_zero(make, mirror):
    # Columns -4..12 of the image: the centre 4 -+ 4 * 16 / 8, so 4 of 17 are outside on the left.
    caffe.set_random_seed(0)
    transform = f"crop_size:16 mean_value:10 mirror:{'true' if mirror else 'false'}"
    net = make(transform, "batch_size:1 fg_fraction:1 context_pad:4", ["2 1 0 8 7 15"])
    drawn = [net.forward()["data"][0].copy() for _ in range(20)]
    if mirror:
        drawn = [data[:, :, ::-1] for data in drawn if data[1, 8, 0] != 0]
    data = drawn[0]
    np.testing.assert_array_equal(data[:, :, :4], np.zeros((3, 16, 4)))
    inside = IMAGE[4:21, 0:13].astype(np.float32)
    want = cv2.resize(inside, (12, 16)).transpose(2, 0, 1) - 10
    np.testing.assert_allclose(data[:, :, 4:], want, atol=1)


def test_square_takes_the_longer_side_in_both_directions(make):
    param = "batch_size:1 fg_fraction:1 crop_mode:'square'"
    net = make("crop_size:13", param, ["2 1 10 8 13 19"])  # 4 x 12 around (12, 14)
    want = IMAGE[8:21, 6:19].transpose(2, 0, 1)
    np.testing.assert_array_equal(net.forward()["data"][0], want)


@pytest.mark.parametrize(
    ("transform", "param", "message"),
    [
        ("", "batch_size:1", "expected a crop_size and no scale_factors"),
        ("crop_size:8 scale_factors:2", "batch_size:1", "no scale_factors"),
        ("crop_size:8", "", "batch_size of at least 1, got 0"),
        (
            "crop_size:8",
            "batch_size:1 context_pad:4",
            "context_pad 4 leaves nothing of crop_size 8",
        ),
        ("crop_size:8", "batch_size:1 crop_mode:'warped'", '"warp" or "square", got "warped"'),
        ("crop_size:8", "batch_size:1 mirror:true", "window_data_param.mirror has no effect"),
        ("crop_size:8", "batch_size:1 fg_fraction:2", "fg_fraction of 0 to 1, got 2"),
        ("crop_size:8", "batch_size:2 fg_fraction:1 fg_threshold:2", "no window counts as object"),
        ("crop_size:8", "batch_size:2 bg_threshold:0", "no window counts as background"),
        ("crop_size:8 mean_value:1 mean_value:2", "batch_size:1", "1 or 3 mean_value, got 2"),
    ],
)
def test_names_what_does_not_fit(make, transform, param, message):
    with pytest.raises(caffe.CaffeError, match=rf'layer "w" \(WindowData\): .*{message}'):
        make(transform, param)


@pytest.mark.parametrize(
    ("window", "name", "message"),
    [
        ("0 0.9 4 3 11 10", "a.png", "window 1: expected a class above 0 for an object"),
        ("3 0.9 36 3 40 10", "a.png", r"window 1: .*inside of 40 x 30 pixels, got \(36, 3, 40, 10"),
        ("3 0.9 4 3 11 10", "b.png", "in/b.png: cannot read: No such file"),
    ],
)
def test_names_the_window(make, window, name, message):
    caffe.set_random_seed(0)
    with pytest.raises(caffe.CaffeError, match=rf"w.txt: image 0 \({name}\), .*{message}"):
        make(param="batch_size:9 fg_fraction:1", windows=[WINDOWS[0], window], name=name).forward()
