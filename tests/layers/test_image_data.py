"""ImageData: golden batches, order, chance under a seed, errors that name the list's line."""

import cv2
import numpy as np
import pytest

import caffe
from tests.data_checks import replay_batches
from tests.layer_checks import net_from_text

LAYER = 'layer{name:"d" type:"ImageData" top:"data" top:"label" %s image_data_param{%s}}'


@pytest.mark.parametrize("case", ["image_data", "image_data_gray_crop"])
def test_golden(tmp_path, monkeypatch, case):
    replay_batches(tmp_path, monkeypatch, case)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Seven images of 3x5 pixels, image i filled with i, labels 10 + i; now the current folder."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for i in range(7):
        cv2.imwrite(f"an image {i}.png", np.full((3, 5, 3), i, np.uint8))
        lines.append(f"image {i}.png {10 + i}\n")
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def _labels(folder, param: str, batches: int) -> list[int]:
    text = LAYER % ("", f'source:"list.txt" root_folder:"an " {param}')
    net = net_from_text(folder, text)
    out = []
    for _ in range(batches):
        net.forward()
        label = net.blobs["label"].data
        np.testing.assert_array_equal(net.blobs["data"].data[:, 0, 0, 0], label - 10)
        out.extend(label.astype(int).tolist())
    return out


def test_goes_round_the_list_in_order_with_blanks_in_names(folder):
    assert _labels(folder, "batch_size:4", 3) == [*range(10, 17), *range(10, 15)]


def test_shuffle_is_a_new_order_each_round_and_follows_the_seed(folder):
    caffe.set_random_seed(5)
    first = _labels(folder, "shuffle:true batch_size:7", 3)
    caffe.set_random_seed(5)
    np.random.random()
    assert _labels(folder, "shuffle:true batch_size:7", 3) != first
    caffe.set_random_seed(5)
    assert _labels(folder, "shuffle:true batch_size:7", 3) == first
    rounds = [first[i : i + 7] for i in (0, 7, 14)]
    assert all(sorted(one) == list(range(10, 17)) for one in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


def test_batches_do_not_depend_on_the_number_of_threads(folder, monkeypatch):
    rng = np.random.default_rng(3)
    for i in range(7):
        cv2.imwrite(f"an image {i}.png", rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    transform = "transform_param{crop_size:5 mirror:true mean_value:99.5}"

    def copies(tops):
        return {name: values.copy() for name, values in tops.items()}

    text = LAYER % (transform, 'source:"list.txt" root_folder:"an " shuffle:true batch_size:3')
    runs = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("caffe.data.prefetch._THREADS", threads)
        caffe.set_random_seed(5)
        net = net_from_text(folder, text.replace("layer{", "layer{phase:TRAIN ", 1))
        runs.append([copies(net.forward()) for _ in range(8)])
    assert not np.array_equal(runs[0][0]["data"], runs[0][1]["data"])
    for run in runs[1:]:
        for tops, same in zip(runs[0], run, strict=True):
            np.testing.assert_array_equal(tops["data"], same["data"])
            np.testing.assert_array_equal(tops["label"], same["label"])


def test_a_file_damaged_in_mid_epoch_fails_in_its_batch_and_the_next_one_follows(folder):
    (folder / "an image 3.png").write_bytes(b"x")
    net = net_from_text(folder, LAYER % ("", 'source:"list.txt" root_folder:"an " batch_size:2'))
    assert net.forward()["label"].tolist() == [10, 11]
    with pytest.raises(caffe.CaffeError, match=r"list.txt:4: an image 3.png: .* got 1 bytes"):
        net.forward()
    assert net.forward()["label"].tolist() == [14, 15]


def test_rand_skip_starts_later_and_then_goes_round(folder):
    starts = set()
    for seed in range(12):
        caffe.set_random_seed(seed)
        labels = _labels(folder, "rand_skip:3 batch_size:9", 1)
        starts.add(labels[0])
        assert labels == [10 + (labels[0] - 10 + i) % 7 for i in range(9)]
    assert starts == {10, 11, 12}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere.png 1", r"list.txt:3: nowhere.png: cannot read: No such file"),
        ("list.txt 1", r"list.txt:3: list.txt: expected an image file, got \d+ bytes"),
        ("nowhere.png", r'list.txt:3: expected "path label" with a whole number, got "nowhere'),
        ("a.png 1.5", r'list.txt:3: expected "path label"'),
        ("small.png 1", r"list.txt:3: expected .* \(3, 23, 31\) like the first.*\(3, 3, 5\)"),
    ],
)
def test_names_the_line_of_the_list(tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("small.png", np.zeros((3, 5, 3), np.uint8))
    cv2.imwrite("large.png", np.zeros((23, 31, 3), np.uint8))
    (tmp_path / "list.txt").write_text(f"large.png 0\n\n{line}\n", encoding="utf-8")
    text = LAYER % ("", 'source:"list.txt" batch_size:2')
    with pytest.raises(caffe.CaffeError, match=message):
        net_from_text(tmp_path, text).forward()


@pytest.mark.parametrize(
    ("transform", "param", "message"),
    [
        ("", 'source:"no.txt"', "^no.txt: cannot read"),
        ("", 'source:"list.txt" new_width:4', "both new_height and new_width"),
        ("", 'source:"list.txt" mirror:true', "image_data_param.mirror has no effect.*transform"),
        ("", 'source:"list.txt" batch_size:0', "batch_size of at least 1, got 0"),
        (
            "",
            'source:"list.txt" rand_skip:8',
            "rand_skip of at most 7, the lines of list.txt, got 8",
        ),
        ("", 'source:"list.txt" label_type:PIXEL', 'label_type: expected IMAGE, .*"ImageSegData"'),
        ("", 'source:"list.txt" label_type:NONE', "label_type: expected IMAGE"),
        ("transform_param{crop_height:2}", 'source:"list.txt"', 'layer "d".*crop_width'),
    ],
)
def test_names_what_does_not_fit(folder, transform, param, message):
    with pytest.raises(caffe.CaffeError, match=message):
        net_from_text(folder, LAYER % (transform, f'root_folder:"an " {param}'))
