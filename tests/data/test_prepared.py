"""The prepared form: the bytes of its files, and one message for each way they can be wrong."""

import argparse
import importlib
import json
import os
import pathlib
import re
import shlex
import struct

import cv2
import numpy as np
import prepared
import pytest
from prepared import write_proposals, write_set

from python_layers.array_file import DataError, atomic_file, read_arrays, write_arrays
from python_layers.prepared_set import PreparedSet, decode_image
from tests.prepared_sets import CLASSES, SIZES, make_set, random_boxes, write_images

ARRAYS = {
    "a": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "b": np.linspace(-1, 1, 20, dtype="<f4").reshape(5, 4),
    "none": np.zeros((0, 5), "<f4"),
    "c": np.array([2**40, -3], "<i8"),
}


def test_array_file_has_the_documented_bytes(tmp_path):
    write_arrays(tmp_path / "x.arr", ARRAYS, {"made": "by hand"})
    content = (tmp_path / "x.arr").read_bytes()
    magic, version, length = struct.unpack_from("<8sII", content)
    assert (magic, version) == (b"MLICARR\n", 1)
    header = json.loads(content[16 : 16 + length])
    assert header["meta"] == {"made": "by hand"}
    begin = -(-(16 + length) // 64) * 64
    assert not any(content[16 + length : begin])
    for name, entry in header["arrays"].items():
        count, start = int(np.prod(entry["shape"])), begin + entry["offset"]
        assert entry["offset"] % 64 == 0
        values = np.frombuffer(content, entry["dtype"], count, start).reshape(entry["shape"])
        np.testing.assert_array_equal(values, ARRAYS[name])
    assert len(content) == begin + header["arrays"]["c"]["offset"] + 16


def test_arrays_come_back_mapped_and_read_only(tmp_path):
    write_arrays(tmp_path / "x.arr", ARRAYS, {"n": 1})
    arrays, meta = read_arrays(tmp_path / "x.arr")
    assert meta == {"n": 1}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
        assert not arrays[name].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        arrays["a"][0, 0] = 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: b"PK" + c[2:], r"x\.arr: expected an array file that begins with b'MLICARR"),
        (lambda c: c[:9], "expected an array file"),
        (lambda c: c[:8] + b"\x07" + c[9:], "expected version 1, got 7"),
        (lambda c: c[:16] + b"?" + c[17:], "the header is not valid JSON"),
        (lambda c: c[:-1], r"array c: expected \d+ bytes, got \d+; the file is truncated"),
        (lambda c: c.replace(b"<f4", b"|O8"), "array b: impossible entry"),
    ],
)
def test_damaged_array_files_are_named(tmp_path, damage, message):
    path = tmp_path / "x.arr"
    write_arrays(path, ARRAYS, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        read_arrays(path)


def test_only_known_types_are_written(tmp_path):
    with pytest.raises(TypeError, match="array bad: dtype <f8"):
        write_arrays(tmp_path / "x.arr", {"bad": np.zeros(3)}, {})


def test_interrupted_write_leaves_the_old_file(tmp_path):
    def interrupted():
        with atomic_file(tmp_path / "x") as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_set_reads_back_and_moves_with_its_images(tmp_path):
    _, boxes, labels, truth = make_set(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    prepared = PreparedSet(tmp_path / "there" / "set")
    assert prepared.classes == CLASSES
    assert prepared.images == [f"{n}.png" for n in range(7)]
    assert prepared.counts == {"raw": 9, "without_labels": 2, "unreadable": 0, "kept": 7}
    np.testing.assert_array_equal(prepared.labels, labels)
    np.testing.assert_array_equal(prepared.sizes, SIZES)
    assert prepared.boxes_stored == 6
    for index, (width, height) in enumerate(SIZES):
        assert prepared.read_image(index).shape == (height, width, 3)
        np.testing.assert_array_equal(prepared.truth(index), truth[index].astype(np.float32))
        np.testing.assert_array_equal(prepared.proposals(index, 6), boxes[index])
        np.testing.assert_array_equal(prepared.proposals(index, 3), boxes[index][:3])


def test_missing_and_stale_files_name_the_remedy(tmp_path):
    out, *_ = make_set(tmp_path)
    with pytest.raises(DataError, match=r"proposals\.arr: expected at least 9 .* got 6; .*boxes 9"):
        PreparedSet(out).proposals(0, 9)
    (out / "images.txt").write_text("0.png\n")
    with pytest.raises(DataError, match=r"images\.txt: not the list of set\.json; run the prep"):
        PreparedSet(out)
    out, *_ = make_set(tmp_path)
    stale, _ = read_arrays(out / "proposals.arr")
    write_arrays(out / "proposals.arr", stale, {"images_sha256": "of another list"})
    with pytest.raises(DataError, match=r"another image list .* python data/make_proposals\.py"):
        PreparedSet(out).proposals(0, 1)
    (out / "proposals.arr").unlink()
    with pytest.raises(DataError, match=r"proposals\.arr: no such file; run: python"):
        PreparedSet(out).proposals(0, 1)
    (out / "set.json").write_text('{"classes": []}')
    with pytest.raises(DataError, match=r"set\.json: expected JSON with \['counts', "):
        PreparedSet(out)
    with pytest.raises(DataError, match=r"nowhere/set\.json: no such file"):
        PreparedSet(tmp_path / "nowhere")


def test_labels_and_boxes_are_checked(tmp_path):
    out, boxes, *_ = make_set(tmp_path)
    arrays, meta = read_arrays(out / "labels.arr")
    labels = arrays["labels"].copy()
    labels[4, 1] = 2
    write_arrays(out / "labels.arr", {**arrays, "labels": labels}, meta)
    with pytest.raises(DataError, match=r"image 4\.png: label 2: expected 0 or 1, got 2"):
        PreparedSet(out)
    write_arrays(out / "labels.arr", arrays, meta)
    for column, value in ((2, 28.0), (0, -1.0), (3, np.nan), (1, 1e3)):
        bad = [b.copy() for b in boxes]
        bad[2][1, column] = value
        write_proposals(out / "proposals.arr", bad, 6, meta)
        with pytest.raises(DataError, match=r"image 2\.png: box 2: expected 0 <= x1 <= x2 <= 27"):
            PreparedSet(out).proposals(2, 6)
        assert len(PreparedSet(out).proposals(1, 6)) == 2


def test_difficult_boxes_and_sets_from_before_there_were_any(tmp_path):
    out, _, _, truth = make_set(tmp_path)
    assert not any(PreparedSet(out).difficult(index).any() for index in range(7))
    marks = [np.full(len(boxes), index % 2) for index, boxes in enumerate(truth)]
    labels = PreparedSet(out).labels
    names = [f"{number}.png" for number in range(7)]
    write_set(out, tmp_path / "images", names, CLASSES, labels, SIZES, truth, {}, marks)
    for index, wanted in enumerate(marks):
        np.testing.assert_array_equal(PreparedSet(out).difficult(index), wanted)
    arrays, meta = read_arrays(out / "labels.arr")
    old = {name: array for name, array in arrays.items() if name != "difficult"}
    write_arrays(out / "labels.arr", old, meta)
    np.testing.assert_array_equal(PreparedSet(out).difficult(3), [0])


def test_boxes_without_scores_are_told_from_scored_ones(tmp_path):
    out, boxes, *_ = make_set(tmp_path)
    _, meta = read_arrays(out / "proposals.arr")
    assert PreparedSet(out).has_scores()
    for found in boxes:
        found[:, 4] = 1
    write_proposals(out / "proposals.arr", boxes, 6, meta)
    assert not PreparedSet(out).has_scores()
    boxes[-1][0, 4] = 0.5
    write_proposals(out / "proposals.arr", boxes, 6, meta)
    assert PreparedSet(out).has_scores()
    write_proposals(out / "proposals.arr", [found[:0] for found in boxes], 6, meta)
    assert PreparedSet(out).has_scores(), "nothing speaks against it"


def test_proposals_are_written_one_image_at_a_time(tmp_path):
    _, boxes, *_ = make_set(tmp_path)
    write_proposals(tmp_path / "a", boxes, 5, {})
    write_proposals(tmp_path / "b", (found for found in boxes), 5, {}, 7)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    arrays, _ = read_arrays(tmp_path / "a")
    np.testing.assert_array_equal(arrays["counts"], [4, 2, 5, 0, 5, 5, 1])
    with pytest.raises(ValueError, match="b: expected 8 images, got 7"):
        write_proposals(tmp_path / "b", (found for found in boxes), 5, {}, 8)


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    out, *_ = make_set(tmp_path)
    (out / ".unfinished").mkdir()
    (out / ".unfinished" / "labels.arr").write_bytes(b"half")
    make_set(tmp_path)
    assert sorted(os.listdir(out)) == ["images.txt", "labels.arr", "proposals.arr", "set.json"]


def test_unreadable_and_changed_images_are_named(tmp_path):
    out, *_ = make_set(tmp_path, suffix=".jpg")
    path = tmp_path / "images" / "3.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"3\.jpg: expected a whole JPEG or PNG image, got \d+ byt"):
        PreparedSet(out).read_image(3)
    for content in (b"", b"not an image", b"P6 40000 30001 255\n"):  # the last is too large
        path.write_bytes(content)
        with pytest.raises(DataError, match="expected a whole JPEG"):
            decode_image(path)
    path.unlink()
    with pytest.raises(DataError, match=r"3\.jpg: cannot read the image: No such file"):
        PreparedSet(out).read_image(3)
    write_images(tmp_path / "images", [(30, 31)] * 7, ".jpg")
    with pytest.raises(DataError, match=r"2\.jpg: expected 28x19 pixels, got 30x31"):
        PreparedSet(out).read_image(2)


def test_truncated_jpegs_are_refused_where_opencv_completes_them(tmp_path, monkeypatch):
    write_images(tmp_path, [(30, 21)], ".jpg")
    path = tmp_path / "0.jpg"
    whole = decode_image(path)
    path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: whole)  # as OpenCV 4 does
    with pytest.raises(DataError, match=r"0\.jpg: expected a whole JPEG"):
        decode_image(path)


def test_a_set_needs_images_and_boxes_inside_them(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="expected at least one image with a label, got none"):
        write_set(tmp_path, tmp_path, [], CLASSES, [], [], [], {})
    truth = [np.concatenate([[[0]], random_boxes(rng, 1, 90, 90)[:, :4] + 90], axis=1)]
    with pytest.raises(DataError, match=r"ground truth: image a\.png: box 1: expected"):
        write_set(tmp_path, tmp_path, ["a.png"], CLASSES, [[1, 0, 0]], [(50, 60)], truth, {})
    with pytest.raises(DataError, match="expected one line of text"):
        write_set(tmp_path, tmp_path, ["a\nb.png"], CLASSES, [[1, 0, 0]], [(5, 6)], truth, {})


def tools():
    """The modules of data/ that are programs."""
    folder = pathlib.Path(prepared.__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if "def main(argv)" in path.read_text())


class ParsedError(Exception):
    """Ends a program behind its command line."""


@pytest.mark.parametrize("tool", tools())
def test_the_example_of_the_help_is_a_command_line(tool, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    main = importlib.import_module(tool).main
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out.replace("\\\n", " ")
    example = re.search(rf"python data/{tool}\.py (.+)", text)[1]
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, words):
        raise ParsedError(parse(parser, words))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(ParsedError):
        main(shlex.split(example))


def test_an_error_of_a_file_begins_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["data/x.py"])
    with pytest.raises(SystemExit, match=f"^x.py: error: {tmp_path}: Is a directory$"):
        prepared.run_tool(lambda _: tmp_path.read_bytes())
