"""VOCdevkit -> prepared set: labels without, truth with the difficult objects; the messages."""

import numpy as np
import prepare_voc
import pytest

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet
from tests.data_trees import BROKEN, ODD, size_of, voc_object, voc_tree, write_image

KINDS = dict(enumerate(ODD, 1))


def prepare(root, split="trainval", *words):
    words = ["--devkit", str(root / "VOCdevkit"), "--split", split, *words]
    prepare_voc.main([*words, "--out", str(root / "out")])
    return PreparedSet(root / "out")


@pytest.mark.parametrize(("split", "first", "count"), [("trainval", 0, 16), ("test", 16, 8)])
def test_labels_boxes_and_difficult_objects(tmp_path, split, first, count):
    truth = voc_tree(tmp_path, kinds=KINDS)
    prepared = prepare(tmp_path, split)
    assert len(prepared.classes) == 20
    assert prepared.images == [f"{first + n + 5:06d}.jpg" for n in range(count)]
    unlabelled = 0
    for index, (image, size) in enumerate(zip(prepared.images, prepared.sizes, strict=True)):
        assert tuple(size) == size_of(first + index)
        found = truth[image[:6]]
        wanted = [[prepared.classes.index(name), *box] for name, box, _ in found]
        np.testing.assert_array_equal(prepared.truth(index), np.array(wanted, np.float32))
        np.testing.assert_array_equal(prepared.difficult(index), [d for *_, d in found])
        shown = {name for name, _, difficult in found if not difficult}
        named = {prepared.classes[k] for k in np.flatnonzero(prepared.labels[index])}
        assert named == shown
        unlabelled += not shown
    assert unlabelled > 0
    counts = {"raw": count, "without_labels": unlabelled, "missing": 0, "unreadable": 0}
    assert prepared.counts == {**counts, "kept": count}


def test_broken_images_stop_or_are_left_out(tmp_path):
    voc_tree(tmp_path, kinds=dict(zip((3, 8, 9), BROKEN, strict=True)))
    (tmp_path / "VOCdevkit/VOC2007/JPEGImages/000006.jpg").unlink()
    message = r"4 of 16 images cannot be used, all of them listed in .*left_out\.txt; the first: "
    with pytest.raises(DataError, match=message + r"000006\.jpg: missing; .*--skip-unreadable"):
        prepare(tmp_path)
    assert len((tmp_path / "out/left_out.txt").read_text().splitlines()) == 4
    prepared = prepare(tmp_path, "trainval", "--skip-unreadable")
    assert (prepared.counts["missing"], prepared.counts["unreadable"]) == (1, 3)
    assert len(prepared) == prepared.counts["kept"] == 12


def edit(old, new, name="Annotations/000005.xml", count=1):
    def apply(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, count))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit("<name>bird", "<name>emu"), r"000005\.xml: object 1: expected one .* got 'emu'"),
        (edit("<bndbox>", "<box>"), r"000005\.xml: expected an XML annotation, got: mismatched"),
        (edit("bndbox", "box", count=-1), "object 1: bird: expected <bndbox>, got none"),
        (edit("<name>bird</name>", ""), "object 1: expected <name> in <object>, got none"),
        (edit("<xmin>", "<xmin>x"), r"object 1: <xmin>: expected a number, got 'x\d+'"),
        (
            edit("<xmax>", "<xmax>9"),
            r"object 1: expected a box inside 23x17, got \d+ \d+ 9\d* \d+ as its",
        ),
        (edit("<width>23", "<width>24"), r"000005\.jpg: expected 24x17 pixels as .*, got 23x17"),
        (edit("size", "big", count=-1), r"000005\.xml: expected <size>, got none"),
        (
            edit("VOC2007", "VOC2012"),
            r"000005\.xml: expected an annotation of VOC2007, got one of VOC2012; fetch it again$",
        ),
        (
            edit("000006", "000005", "ImageSets/Main/trainval.txt"),
            r"trainval\.txt: image 000005 is listed twice",
        ),
        (
            lambda folder: (folder / "Annotations/000005.xml").unlink(),
            r"000005\.xml: no such file; unpack the archive of its split",
        ),
        (
            lambda folder: (folder / "ImageSets/Main/trainval.txt").unlink(),
            r"trainval\.txt: no such file; the splits here: test; unpack the archive",
        ),
        (
            lambda folder: folder.rename(folder.with_name("VOC2012")),
            "expected the folder VOC2007, got VOC2012; unpack the archive of that year, or name "
            "another one with --year$",
        ),
    ],
)
def test_bad_input_is_named(tmp_path, damage, message):
    voc_tree(tmp_path)
    damage(tmp_path / "VOCdevkit/VOC2007")
    with pytest.raises(DataError, match=message):
        prepare(tmp_path)
    assert not (tmp_path / "out/set.json").exists()


def test_a_box_that_sticks_out_by_a_pixel_is_rounding(tmp_path):
    voc_tree(tmp_path, count=3)
    folder = tmp_path / "VOCdevkit/VOC2007"
    write_image(folder / "JPEGImages/000005.jpg", 0)
    boxes = [[-1, 2.25, 9, 17], [22, 3, 23, 9]]
    objects = "".join(voc_object("cat", box) for box in boxes)
    (folder / "Annotations/000005.xml").write_text(
        f"<annotation><size><width>23</width><height>17</height></size>{objects}</annotation>"
    )
    prepared = prepare(tmp_path)
    text = (folder / "Annotations/000005.xml").read_text()
    wanted = [[7, 0, 2.25, 9, 16], [7, 22, 3, 22, 9]]
    np.testing.assert_array_equal(prepared.truth(0), wanted)
    (folder / "Annotations/000005.xml").write_text(text.replace("24</xmax>", "25</xmax>"))
    with pytest.raises(DataError, match="object 2: expected a box inside 23x17, got 22 3 24 9"):
        prepare(tmp_path)
