"""COCO instances -> prepared set: labels, classes, boxes, counts, and the messages."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import image_files
import numpy as np
import prepare_coco
import prepared
import pytest

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet
from tests.data_trees import BROKEN, ODD, coco_tree, files_of
from tests.prepared_sets import SIZES, write_images

ROOT = pathlib.Path(prepare_coco.__file__).parent


def annotation(image, category, bbox, **more):
    return {"image_id": image, "category_id": category, "bbox": bbox, **more}


@pytest.fixture
def coco(tmp_path):
    """Five images, ids against the file order; image 30 has no label, 40 only a crowd."""
    names = write_images(tmp_path / "images", SIZES[:5], ".jpg")
    ids = [50, 10, 30, 20, 40]
    annotations = [
        annotation(50, 7, [2, 3, 4, 5]),
        annotation(10, 90, [0.5, 1.25, 30.5, 38.5]),
        annotation(10, 3, [29.5, 10, 2, 0.5]),
        annotation(20, 7, [-0.3, 0, 10, 26.4]),
        annotation(20, 7, [5, 6, 7, 8]),
        annotation(40, 3, [1, 1, 3, 3], iscrowd=1),
    ]
    return {
        "images": [
            {"id": i, "file_name": name, "width": w, "height": h}
            for i, name, (w, h) in zip(ids, names, SIZES[:5], strict=True)
        ],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
        "categories": [{"id": i, "name": n} for i, n in ((90, "toad"), (3, "ape"), (7, "bat"))],
    }


def prepare(tmp_path, coco, **options):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    return prepare_coco.prepare_coco(path, tmp_path / "images", tmp_path / "out", **options)


def test_labels_boxes_and_counts(tmp_path, coco):
    counts = prepare(tmp_path, coco)
    assert counts == {"raw": 5, "without_labels": 1, "missing": 0, "unreadable": 0, "kept": 4}
    prepared = PreparedSet(tmp_path / "out")
    assert prepared.counts == counts
    assert prepared.classes == ["ape", "bat", "toad"]
    assert prepared.images == ["1.jpg", "3.jpg", "4.jpg", "0.jpg"]
    np.testing.assert_array_equal(prepared.labels, [[1, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(prepared.sizes, [(31, 40), (37, 26), (20, 33), (23, 17)])
    wanted = [
        [[2, 0.5, 1.25, 30, 38.75], [0, 29.5, 10, 30, 10]],
        [[1, 0, 0, 8.7, 25], [1, 5, 6, 11, 13]],
        np.zeros((0, 5)),
        [[1, 2, 3, 5, 7]],
    ]
    for index, boxes in enumerate(wanted):
        np.testing.assert_allclose(prepared.truth(index), boxes, rtol=1e-6)


def test_a_second_run_writes_the_same_bytes(tmp_path, coco):
    prepare(tmp_path, coco)
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    prepare(tmp_path, coco)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == first
    assert sorted(first) == ["images.txt", "labels.arr", "set.json"]


def test_unreadable_images_stop_or_are_counted(tmp_path, coco):
    (tmp_path / "images").mkdir(exist_ok=True)
    path = tmp_path / "images" / "3.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, coco)
    assert str(caught.value) == (
        f"1 of 4 images cannot be used, all of them listed in {tmp_path}/out/left_out.txt; the "
        "first: 3.jpg: unreadable: expected a whole JPEG or PNG image, got 200 bytes that do not "
        "decode; fetch them again, or leave them out with --skip-unreadable"
    )
    counts = prepare(tmp_path, coco, skip_unreadable=True)
    assert counts == {"raw": 5, "without_labels": 1, "missing": 0, "unreadable": 1, "kept": 3}
    assert PreparedSet(tmp_path / "out").images == ["1.jpg", "4.jpg", "0.jpg"]


def prepare_tree(root, split="train", **options):
    annotations = root / "annotations" / f"instances_{split}2014.json"
    return prepare_coco.prepare_coco(annotations, root / f"{split}2014", root / "out", **options)


def test_a_tree_with_odd_and_broken_images(tmp_path):
    content = coco_tree(tmp_path, kinds=dict(zip(range(7), (*ODD, *BROKEN), strict=True)))
    with pytest.raises(DataError, match="2 of 20 images cannot be used"):  # 4 has no label
        prepare_tree(tmp_path)
    counts = prepare_tree(tmp_path, skip_unreadable=True)
    assert counts == {"raw": 24, "without_labels": 4, "missing": 0, "unreadable": 2, "kept": 18}
    prepared = PreparedSet(tmp_path / "out")
    assert prepared.classes == ["ape", "bat", "toad"]
    ids = {entry["file_name"]: entry["id"] for entry in content["images"]}
    rank = {1: 0, 13: 1, 90: 2}
    for index, image in enumerate(prepared.images):
        found = [a for a in content["annotations"] if a["image_id"] == ids[image]]
        labels = {rank[a["category_id"]] for a in found}
        assert set(np.flatnonzero(prepared.labels[index])) == labels
        assert prepared.read_image(index).ndim == 3
        assert len(prepared.truth(index)) == sum(not a["iscrowd"] for a in found)
        assert not prepared.difficult(index).any()
    prepare_tree(tmp_path, skip_unreadable=True, keep_unlabelled=True)
    assert len(PreparedSet(tmp_path / "out")) == 21


def test_annotations_of_another_year_or_split_are_noticed(tmp_path):
    coco_tree(tmp_path)
    message = r"val2014: expected images such as COCO_train2014_0+3\.jpg, got none of the 20 listed"
    with pytest.raises(DataError, match=f"{message}; is it the folder of another year or split"):
        prepare_coco.prepare_coco(
            tmp_path / "annotations/instances_train2014.json",
            tmp_path / "val2014",
            tmp_path / "out",
        )


def test_an_interrupted_run_goes_on_with_the_images_it_has_seen(tmp_path, monkeypatch):
    coco_tree(tmp_path, kinds={5: "cut"})
    with pytest.raises(DataError, match="1 of 20 images"):
        prepare_tree(tmp_path)
    record = tmp_path / "out" / image_files.RECORD
    record.write_text(record.read_text() + '["COCO_train2014_00')  # as a crash may leave it
    seen = []
    decode = image_files.decode_image
    monkeypatch.setattr(image_files, "decode_image", lambda p: seen.append(p.name) or decode(p))
    changed = tmp_path / "train2014" / "COCO_train2014_000000000010.jpg"
    os.utime(changed, (1, 1))
    with pytest.raises(DataError, match="1 of 20 images"):
        prepare_tree(tmp_path)
    assert sorted(seen) == ["COCO_train2014_000000000010.jpg", "COCO_train2014_000000000038.jpg"]
    prepare_tree(tmp_path, skip_unreadable=True)
    assert seen[2:] == ["COCO_train2014_000000000038.jpg"]
    assert not record.exists()
    assert len(PreparedSet(tmp_path / "out")) == 19


def test_a_second_run_at_once_is_refused_and_harms_nothing(tmp_path):
    coco_tree(tmp_path)
    prepare_tree(tmp_path)
    before = files_of(tmp_path / "out")
    with prepared.own_folder(tmp_path / "out"):
        command = [sys.executable, str(ROOT / "prepare_coco.py"), "--out", str(tmp_path / "out")]
        command += ["--annotations", str(tmp_path / "annotations/instances_val2014.json")]
        command += ["--images", str(tmp_path / "val2014")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        f"prepare_coco.py: error: {tmp_path}/out: another run is writing here; wait for it, or "
        "choose another place\n"
    )
    assert files_of(tmp_path / "out") == before
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_keeps_the_set_that_was_there(tmp_path, monkeypatch):
    coco_tree(tmp_path)
    prepare_tree(tmp_path)
    before = files_of(tmp_path / "out")
    fsync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"out: no space left on the disk; free some and run the "):
        prepare_tree(tmp_path, "val")
    monkeypatch.undo()
    after = files_of(tmp_path / "out")
    assert after.pop(image_files.RECORD)
    assert after == before
    prepare_tree(tmp_path, "val")
    assert PreparedSet(tmp_path / "out").images[0] == "COCO_val2014_000000000003.jpg"


def change(kind, number, **values):
    def apply(coco):
        coco[kind][number].update(values)

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("annotations", 1, bbox=[5, 5, 40, 2]), r"annotation 2: expected a box .* 31x40"),
        (change("annotations", 4, bbox=[5, 5, -1, 2]), r"annotation 5: expected a box .* 37x26"),
        (
            change("annotations", 1, bbox=[5, 5, 4]),
            r"annotation 2: .* x y width height, got \[5, 5",
        ),
        (change("annotations", 1, bbox=[5, "5", 4, None]), "annotation 2: expected a box x y"),
        (
            change("annotations", 1, bbox=[np.nan, 5, 4, 3]),
            "annotation 2: .* got nan 5 nan 7",
        ),
        (
            change("annotations", 0, category_id=8),
            r"category_id 8 is not listed in the file; leave",
        ),
        (change("annotations", 0, image_id=1), "annotation 1: image_id 1 is not listed"),
        (change("images", 3, width=99), r"3\.jpg: expected 99x26 pixels .*, got 37x26"),
        (change("images", 3, file_name="x.jpg"), r"1 of 4 images .*: x\.jpg: missing; fetch"),
        (change("images", 3, file_name="1.jpg"), r"json: image 1\.jpg is listed twice; leave one"),
        (change("images", 3, id=10), "json: images: id 10 is there twice; leave one of them out"),
        (change("categories", 0, id=3), "categories: id 3 is there twice"),
        (
            change("categories", 2, name="toad"),
            "instances.json: categories: ids 90 and 7 are both named 'toad'; rename one of them",
        ),
        (change("categories", 2, name=7), "id 7: expected a text as name, got 7; correct it"),
        (change("images", 3, width=None), r"id \d+: expected a number as width, got None; correct"),
        (change("images", 3, file_name=5), r"id \d+: expected a text as file_name, got 5; correct"),
        (lambda coco: coco["images"][2].pop("width"), "images: id 30: no 'width'"),
        (lambda coco: coco.pop("annotations"), "expected COCO instance annotations, got no 'ann"),
    ],
)
def test_bad_input_is_named(tmp_path, coco, damage, message):
    damage(coco)
    with pytest.raises(DataError, match=message):
        prepare(tmp_path, coco)
    assert not (tmp_path / "out" / "set.json").exists()


def test_missing_and_malformed_files_are_named(tmp_path, coco):
    with pytest.raises(DataError, match=r"none\.json: no such file: expected COCO instance"):
        prepare_coco.prepare_coco(tmp_path / "none.json", tmp_path, tmp_path / "out")
    (tmp_path / "bad.json").write_text('{"images": [')
    told = r"bad\.json: expected COCO instance annotations, got: .*char 12\); unpack it again$"
    with pytest.raises(DataError, match=told):
        prepare_coco.prepare_coco(tmp_path / "bad.json", tmp_path, tmp_path / "out")
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco))
    with pytest.raises(DataError, match=r"nowhere: no such folder: expected the images"):
        prepare_coco.prepare_coco(path, tmp_path / "nowhere", tmp_path / "out")


def test_the_command_prints_one_line_and_exits_with_1(tmp_path):
    command = [sys.executable, str(ROOT / "prepare_coco.py"), "--annotations", "none.json"]
    command += ["--images", str(tmp_path), "--out", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT.parent, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "prepare_coco.py: error: none.json: no such file: expected COCO instance annotations "
        "(JSON); unpack their archive\n"
    )
