"""The released text list, both ways, and a message with file and line for each mistake in it."""

import pathlib

import convert_list
import numpy as np
import pytest
from prepared import write_proposals, write_set

from python_layers.array_file import DataError
from python_layers.boxes import scale_boxes
from python_layers.prepared_set import PreparedSet
from tests.prepared_sets import make_set, write_images

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "data"


def test_the_golden_list_comes_back_unchanged(tmp_path):
    write_images(tmp_path / "images", [(32, 24)] * 6)
    for number in range(6):
        (tmp_path / "images" / f"{number}.png").rename(tmp_path / "images" / f"im{number}.png")
    convert = ["--set", str(tmp_path / "set")]
    source = ["--import-list", str(GOLDEN / "multi.txt"), "--images", str(tmp_path / "images")]
    convert_list.main([*source, *convert, "--classes", "4"])
    convert_list.main(["--export-list", str(tmp_path / "again.txt"), *convert])
    assert (tmp_path / "again.txt").read_text() == (GOLDEN / "multi.txt").read_text()


def test_boxes_in_the_released_frame_are_those_of_the_original_layer(tmp_path):
    case = np.load(GOLDEN / "human_att_data.npz")
    source = ["--import-list", str(GOLDEN / "multi.txt"), "--images", str(GOLDEN), "--classes"]
    convert_list.main([*source, "4", "--set", str(tmp_path), "--frame", "32x24"])
    prepared = PreparedSet(tmp_path)
    assert tuple(prepared.sizes[0]) == (31, 23), "the frame is not the image"
    for index, wanted in enumerate(case["label_roi_step0"]):
        np.testing.assert_array_equal(prepared.labels[index], wanted[:4])
        boxes = scale_boxes(prepared.proposals(index, 3), prepared.sizes[index], (32, 24))
        np.testing.assert_allclose(boxes, wanted[4:].reshape(3, 5), rtol=1e-5, atol=1e-5)


def test_a_set_survives_the_way_through_text(tmp_path):
    out, boxes, labels, _ = make_set(tmp_path)
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\neel\n")
    convert_list.main(["--export-list", str(tmp_path / "list.txt"), "--set", str(out)])
    again = ["--import-list", str(tmp_path / "list.txt"), "--images", str(tmp_path / "images")]
    convert_list.main([*again, "--classes", str(names), "--set", str(tmp_path / "again")])
    prepared = PreparedSet(tmp_path / "again")
    assert prepared.classes == ["cat", "dog", "eel"]
    np.testing.assert_array_equal(prepared.labels, labels)
    for index, found in enumerate(boxes):
        np.testing.assert_array_equal(prepared.proposals(index, 6), found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.png 0 1", r"list\.txt:3: expected a path, 3 labels and 5 columns per box, got 3 col"),
        ("0.png 0 1 0 1 2 3 4", "list.txt:3: .* got 8 columns"),
        ("0.png 0 2 0", r"list\.txt:3: label 2: expected 0 or 1, got 2"),
        ("0.png 0 1.0 0", r"list\.txt:3: label 2: expected 0 or 1, got 1\.0"),
        ("1.png 0 1 0", r"list\.txt: image 1\.png is listed twice; leave one of them out"),
        ("0.png 0 1 0 1 2 x 4 .5", r"list\.txt:3: expected numbers for the boxes: .*'x'"),
        ("0.png 0 1 0 1 2 23 4 .5", r"list\.txt:3: box 1: expected .* x2 <= 22, .* got 1 2 23 4"),
        ("0.png 0 1 0 1 2 3 4 .5 5 2 4 3 .5", r"list\.txt:3: box 2: expected .* got 5 2 4 3 0\.5"),
        ("7.png 0 1 0", r"1 of 2 images cannot be used, .* 7\.png: missing"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, line, message):
    write_images(tmp_path)
    (tmp_path / "list.txt").write_text(f"1.png 1 0 0 3 4 5 6 .25\n\n{line}\n")
    source = ["--import-list", str(tmp_path / "list.txt"), "--images", str(tmp_path)]
    with pytest.raises(DataError, match=message):
        convert_list.main([*source, "--classes", "3", "--set", str(tmp_path / "set")])


def test_images_that_cannot_be_read_are_left_out_with_their_boxes(tmp_path):
    write_images(tmp_path)
    (tmp_path / "1.png").write_bytes(b"")
    lines = [f"{n}.png 1 0 0 {n} 1 {n + 5} 6 .25" + f" 0 0 {n} 3 .5" * n for n in range(4)]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "x.png 1 1 1"]))
    source = ["--import-list", str(tmp_path / "list.txt"), "--images", str(tmp_path)]
    words = ["--classes", "3", "--set", str(tmp_path / "set"), "--skip-unreadable"]
    convert_list.main([*source, *words])
    prepared = PreparedSet(tmp_path / "set")
    assert prepared.images == ["0.png", "2.png", "3.png"]
    assert (prepared.counts["missing"], prepared.counts["unreadable"]) == (1, 1)
    for index, number in enumerate((0, 2, 3)):
        boxes = prepared.proposals(index, 4)
        wanted = [[number, 1, number + 5, 6, 0.25], *[[0, 0, number, 3, 0.5]] * number]
        np.testing.assert_array_equal(boxes, wanted)


def test_lists_without_scores_both_ways(tmp_path):
    write_images(tmp_path)
    text = "0.png 1 0 0 1 2 3 4 5 6 7 8\n3.png 0 0 1\n"
    (tmp_path / "list.txt").write_text(text)
    source = ["--import-list", str(tmp_path / "list.txt"), "--images", str(tmp_path)]
    words = ["--classes", "3", "--set", str(tmp_path / "set")]
    with pytest.raises(DataError, match=r"list\.txt:1: .* a list without scores needs --score one"):
        convert_list.main([*source, *words])
    convert_list.main([*source, *words, "--score", "one"])
    prepared = PreparedSet(tmp_path / "set")
    np.testing.assert_array_equal(prepared.proposals(0, 2), [[1, 2, 3, 4, 1], [5, 6, 7, 8, 1]])
    assert not prepared.has_scores()
    words = ["--export-list", str(tmp_path / "again.txt"), "--set", str(tmp_path / "set")]
    convert_list.main([*words, "--score", "one"])
    assert (tmp_path / "again.txt").read_text() == text


def test_the_last_class_needs_no_end_of_line(tmp_path):
    path = tmp_path / "names.txt"
    for content in (b"cat\ndog\neel", b"cat\r\ndog \r\neel\r\n\r\n"):
        path.write_bytes(content)
        assert convert_list.class_names(str(path)) == ["cat", "dog", "eel"]
    path.write_text("cat\n\neel\n")
    with pytest.raises(DataError, match=r"names\.txt:2: expected a name, got none"):
        convert_list.class_names(str(path))


def test_a_list_in_another_encoding_is_named_by_line(tmp_path):
    (tmp_path / "list.txt").write_bytes("0.png 1 0 0\né.png 1 0 0\n".encode("latin-1"))
    source = ["--import-list", str(tmp_path / "list.txt"), "--images", str(tmp_path)]
    with pytest.raises(DataError, match=r"list\.txt:2: expected text in UTF-8"):
        convert_list.main([*source, "--classes", "3", "--set", str(tmp_path / "set")])


def test_options_and_names_that_cannot_work(tmp_path, capsys):
    with pytest.raises(SystemExit):
        convert_list.main(["--import-list", "x", "--set", "y"])
    assert "--import-list needs --images and --classes" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        convert_list.main(["--export-list", "x", "--set", "y", "--frame", "672"])
    assert "expected WIDTHxHEIGHT, such as 672x672, got '672'" in capsys.readouterr().err
    truth = [np.zeros((0, 5), np.float32)]
    out = tmp_path / "set"
    write_set(out, tmp_path, ["my photo.png"], ["a"], [[1]], [(5, 6)], truth, {})
    meta = {"images_sha256": PreparedSet(out).images_sha256}
    write_proposals(out / "proposals.arr", truth, 4, meta)
    with pytest.raises(DataError, match=r"image 'my photo\.png': expected a path without blanks"):
        convert_list.main(["--export-list", str(tmp_path / "list.txt"), "--set", str(out)])
    assert not (tmp_path / "list.txt").exists()
