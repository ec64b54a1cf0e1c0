"""The demo set: deterministic, valid COCO, complete only when the manifest says so."""

import collections
import errno
import json
import os
import pathlib
import subprocess
import sys

import cv2
import make_demo
import numpy as np
import pytest
from pycocotools.coco import COCO

from python_layers.array_file import DataError
from python_layers.only_run import only_run

OPTIONS = {"train": 7, "test": 3, "objects": 11, "size": 128, "seed": 5}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    assert make_demo.make_demo(out, OPTIONS, workers=2)
    return out


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_same_files_for_any_number_of_workers(demo, tmp_path):
    make_demo.make_demo(tmp_path, OPTIONS, workers=1)
    assert files(tmp_path) == files(demo)


def test_another_seed_gives_other_scenes(demo):
    one, _ = make_demo.make_scene(np.random.default_rng((5, 0, 1)), 128)
    other, _ = make_demo.make_scene(np.random.default_rng((6, 0, 1)), 128)
    saved = cv2.imread(str(demo / "images/train/000001.jpg"))
    assert np.abs(one.astype(int) - saved).mean() < 8  # JPEG's loss
    assert np.abs(other.astype(int) - saved).mean() > 16


def test_complete_set_is_left_alone_and_other_options_are_not(tmp_path):
    options = {"train": 2, "test": 1, "objects": 3, "size": 64, "seed": 0}
    assert make_demo.make_demo(tmp_path, options, workers=1)
    assert not make_demo.make_demo(tmp_path, options, workers=1)
    assert make_demo.make_demo(tmp_path, {**options, "seed": 1}, workers=1)
    (tmp_path / "manifest.json").unlink()  # as after an interruption
    assert make_demo.make_demo(tmp_path, {**options, "seed": 1}, workers=1)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools 2.0.11, numpy 2
@pytest.mark.parametrize(("split", "count"), [("train", 7), ("test", 3)])
def test_annotations_are_valid_coco(demo, split, count):
    coco = COCO(demo / "annotations" / f"instances_{split}.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(make_demo.CLASSES)
    assert coco.getImgIds() == list(range(1, count + 1))
    for image in coco.loadImgs(coco.getImgIds()):
        pixels = cv2.imread(str(demo / "images" / split / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3) == (128, 128, 3)
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert 1 <= len(annotations) <= 6
        for annotation in annotations:
            mask = coco.annToMask(annotation)
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert mask.sum() == annotation["area"] > 0
            assert (columns.min(), rows.min()) == (x, y)
            assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (width, height)


def test_masks_of_one_scene_do_not_overlap():
    _, objects = make_demo.make_scene(np.random.default_rng(0), 96)
    assert np.sum([mask for _, mask in objects], axis=0).max() == 1


@pytest.mark.parametrize(("split", "count"), [("train", 11), ("test", 1)])
def test_object_list_is_caffe_image_data(demo, split, count):
    lines = (demo / f"objects_{split}.txt").read_text().splitlines()
    assert len(lines) == count
    for line in lines:
        path, label = line.rsplit(" ", 1)
        assert 0 <= int(label) < len(make_demo.CLASSES)
        assert cv2.imread(str(demo / path)).shape == (96, 96, 3)


def test_labels_are_imbalanced_and_partners_co_occur():
    rng = np.random.default_rng(1)
    scenes = [set(make_demo.draw_classes(rng)) for _ in range(4000)]
    count = collections.Counter(label for scene in scenes for label in scene)
    assert count[0] > 3 * count[11]
    together = sum({6, 7} <= scene for scene in scenes)
    assert together > 2 * count[6] * count[7] / len(scenes)


def test_ring_has_a_hole_and_other_shapes_fill_their_middle():
    def value(name):
        canvas = np.zeros((80, 80), np.uint8)
        rng = np.random.default_rng(2)
        contours = make_demo.place(make_demo.SHAPES[name], rng, np.array([40, 40]), 30)
        cv2.fillPoly(canvas, contours, 1)
        return canvas[40, 40]

    assert value("ring") == 0
    assert value("disk") == value("star") == value("heart") == 1


def test_command_line(tmp_path, capsys):
    arguments = ["--train", "2", "--test", "1", "--objects", "2", "--size", "64"]
    make_demo.main(["--out", str(tmp_path), *arguments])
    assert json.loads((tmp_path / "manifest.json").read_text())["size"] == 64
    make_demo.main(["--out", str(tmp_path), *arguments])
    assert "already complete" in capsys.readouterr().out


def test_user_mistakes_are_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        make_demo.main(["--train", "0"])
    assert "expected an integer >= 1, got '0'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        make_demo.main(["--size", "big"])
    assert "expected an integer >= 64, got 'big'" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    command = [sys.executable, make_demo.__file__, "--out", str(blocked / "demo"), "--train", "1"]
    root = pathlib.Path(make_demo.__file__).parents[1]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert run.returncode == 1
    told = f"{blocked}/demo: expected a folder, got a file; choose another place"
    assert run.stderr == f"make_demo.py: error: {told}\n"
    assert run.stderr.count("\n") == 1


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(make_demo, "make_split", full)
    with pytest.raises(DataError, match=f"{tmp_path}: no space left on the disk; free some"):
        make_demo.main(["--out", str(tmp_path)])


def test_a_damaged_manifest_counts_as_none(tmp_path):
    options = {"train": 1, "test": 1, "objects": 1, "size": 64, "seed": 0}
    (tmp_path / "manifest.json").write_text('{"version": ')
    assert make_demo.make_demo(tmp_path, options, workers=1)
    assert not make_demo.make_demo(tmp_path, options, workers=1)


def test_a_second_run_at_once_is_refused(tmp_path):
    told = f"{tmp_path}: another run is writing here; wait for it"
    with only_run(tmp_path), pytest.raises(DataError, match=told):
        make_demo.main(["--out", str(tmp_path)])
    assert not [*tmp_path.iterdir()]
