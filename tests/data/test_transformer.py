"""The transformer: crop, mirror, mean, scale, factors, by hand and by chance; errors."""

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.data.transformer import Draw, Transformer
from caffe.proto.caffe_pb2 import TransformationParameter
from tests.layer_checks import GOLDEN

IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def make(text: str, phase: int = caffe.TEST) -> Transformer:
    return Transformer(text_format.Parse(text, TransformationParameter()), phase)


def test_plain_image_becomes_channels_first_floats():
    out = make("")(IMAGE, Draw())
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, IMAGE.transpose(2, 0, 1))


def test_central_crop_mirror_mean_and_scale():
    out = make("crop_height:1 crop_width:3 mean_value:1 mean_value:2 mean_value:3 scale:0.5")(
        IMAGE, Draw(mirror=True)
    )
    want = (IMAGE[1:2, 1:4][:, ::-1] - np.array([1.0, 2, 3])) * 0.5
    np.testing.assert_array_equal(out, want.transpose(2, 0, 1))


def test_one_mean_value_serves_all_channels():
    np.testing.assert_array_equal(make("mean_value:7")(IMAGE, Draw())[:, 0, 0], [-7, -6, -5])


def test_mean_file_is_cut_like_the_image():
    case = np.load(GOLDEN / "data" / "data_lmdb_test.npz")
    path = GOLDEN / "data" / "mean.binaryproto"
    image = np.full((24, 32, 3), 100, np.uint8)
    whole = make(f'mean_file:"{path}"')(image, Draw())
    cut = make(f'mean_file:"{path}" crop_size:20')(image, Draw())
    np.testing.assert_array_equal(cut, whole[:, 2:22, 6:26])
    assert cut.shape == case["data_step0"].shape[1:]


def test_training_crops_reach_every_corner_and_both_mirrors():
    transformer, rng = make("crop_size:3 mirror:true", caffe.TRAIN), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        out = transformer(IMAGE, transformer.draw(rng))
        seen.add((int(out.min()) // 3, bool(out[0, 0, 0] > out[0, 0, 1])))
    corners = {row * 5 + column for row in range(2) for column in range(3)}
    assert seen == {(corner, mirror) for corner in corners for mirror in (False, True)}


def test_scale_factors_resize_before_the_crop():
    transformer = make("scale_factors:2 scale_factors:3 crop_height:7 crop_width:9")
    assert {transformer.draw(np.random.default_rng(i)).factor for i in range(9)} == {2, 3}
    flat = np.full((4, 5, 1), 9, np.uint8)
    np.testing.assert_array_equal(transformer(flat, Draw(factor=2)), np.full((1, 7, 9), 9))


@pytest.mark.parametrize(("factor", "size"), [(0.9, (9, 18)), (1.33, (13, 26)), (0.01, (1, 1))])
def test_scaled_sizes_are_cut_off_in_single_precision(factor, size):
    flat = np.full((10, 20, 1), 9, np.uint8)  # 0.9 as float32 is less, its tenfold is 9 again
    transformer = make(f"scale_factors:{factor}")
    out = transformer(flat, transformer.draw(np.random.default_rng(0)))
    np.testing.assert_array_equal(out, np.full((1, *size), 9))


def test_labels_go_where_the_image_goes():
    labels = IMAGE[:, :, :1]
    draw = Draw(factor=2, top=0.5, left=0.9, mirror=True)
    data, moved = make("crop_height:3 crop_width:20 mean_value:2.4", caffe.TRAIN).with_labels(
        IMAGE, labels, draw, 250
    )
    assert (data.dtype, moved.dtype) == (np.float32, np.float32)
    rows, columns = np.arange(3, 6) // 2, np.arange(10) // 2  # 3 of 8 rows: the fourth of six crops
    want = np.full((3, 20), 250)
    want[:, :10] = labels[np.ix_(rows, columns)][:, :, 0]
    np.testing.assert_array_equal(moved[0], want[:, ::-1])
    np.testing.assert_allclose(data[:, :, :10], np.full((3, 3, 10), 2 - 2.4), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop_size:3 crop_height:3", "crop_size or crop_height and crop_width"),
        ("crop_height:3", "both crop_height and crop_width"),
        ('mean_value:3 mean_file:"m"', "mean_file or mean_value, not both"),
        ("scale_factors:1 scale_factors:480", r"at most 16, got \[1.0, 480.0\]"),
        ("force_gray:true force_color:true", "not both"),
        ("mean_value:3 mean_value:4", "expected 1 or 3 mean_value, got 2"),
        ("crop_size:5", r"at least \(5, 5\) to crop, got \(4, 5\)"),
        (f'mean_file:"{GOLDEN}/data/mean.binaryproto"', r"\(4, 5, 3\), got \(24, 32, 3\)"),
        (f'mean_file:"{GOLDEN}/data/missing"', "missing: cannot read: No such file"),
    ],
)
def test_names_what_does_not_fit(text, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make(text)(IMAGE, Draw())
