"""NUS-WIDE's text files and .mat -> prepared sets, with what is missing listed."""

import pathlib
import subprocess
import sys

import numpy as np
import prepare_nuswide
import pytest

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet
from tests.data_trees import BROKEN, CONCEPTS, ODD, nuswide_name, nuswide_tree, write_nuswide_mat

KINDS = dict(zip((0, 1, 2, 3, 6, 7, 8), (*ODD, *BROKEN), strict=True))
MISSING = (9, 10, 12)


def prepare(root, *words):
    images = str(root / "Flickr")
    words = ["--root", str(root), "--images", images, "--out", str(root / "out"), *words]
    prepare_nuswide.main(words)
    return {split: PreparedSet(root / "out" / split) for split in ("train", "test")}


def test_what_is_there_is_used_and_what_is_not_is_listed(tmp_path, capsys):
    tables = nuswide_tree(tmp_path, kinds=KINDS, missing=MISSING)
    sets = prepare(tmp_path)
    lost = {6, 7, 8, *MISSING}
    kept = [n for n in range(24) if n % 6 != 5 and n not in lost]
    train = sets["train"]
    assert train.classes == list(CONCEPTS)
    assert train.images == [nuswide_name("Train", n) for n in kept]
    np.testing.assert_array_equal(train.labels, tables["train"][kept])
    wanted = {"raw": 24, "without_labels": 4, "missing": 3, "unreadable": 3, "kept": 14}
    assert train.counts == wanted
    assert sets["test"].counts["kept"] == 13
    lines = (tmp_path / "out/train/left_out.txt").read_text().splitlines()
    listed = {line.split("\t")[0]: line.split("\t")[1] for line in lines}
    assert set(listed) == {nuswide_name("Train", n) for n in lost}
    assert listed[nuswide_name("Train", 9)] == "missing"
    assert "expected a whole JPEG or PNG image, got 0 bytes" in listed[nuswide_name("Train", 6)]
    assert not (tmp_path / "out/test/left_out.txt").exists()
    printed = capsys.readouterr().out
    assert "train: raw 24, without_labels 4, missing 3, unreadable 3, kept 14" in printed
    assert "kept 14 train and 13 test images; the nearest published split has 119,986" in printed


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ({"train": 161_700, "test": 107_859}, "161,789 train and 107,859 test .*: 89 images"),
        ({"train": 119_990, "test": 80_280}, "119,986 train and 80,283 test .*: 7 images apart"),
        ({"train": 149_999, "test": 60_100}, "150,000 train and 60,260 test .*: 161 images apart"),
        ({"test": 83_000}, "125,449 train and 83,898 test .*: 898 images apart"),
    ],
)
def test_the_nearest_published_split_is_named(kept, wanted):
    assert prepare_nuswide.nearest_split(kept)
    with pytest.raises(AssertionError, match=wanted):
        raise AssertionError(prepare_nuswide.nearest_split(kept))


def test_labels_may_come_from_a_mat_file(tmp_path):
    tables = nuswide_tree(tmp_path)
    write_nuswide_mat(tmp_path / "labels.mat", tables)
    for path in (tmp_path / "TrainTestLabels").iterdir():
        path.unlink()
    sets = prepare(tmp_path, "--labels", str(tmp_path / "labels.mat"))
    for split, table in tables.items():
        np.testing.assert_array_equal(sets[split].labels, table[table.any(axis=1)])
    write_nuswide_mat(tmp_path / "labels.mat", {**tables, "train": tables["train"][:-1]})
    message = r"expected one variable with 'train' in its name, of shape \(24, 4\) or \(4, 24\), "
    with pytest.raises(DataError, match=rf"labels\.mat: {message}got: labels_Train \(23, 4\)"):
        prepare(tmp_path, "--labels", str(tmp_path / "labels.mat"))


def test_images_are_found_in_other_sub_folders_each_once(tmp_path):
    nuswide_tree(tmp_path)
    for path in (tmp_path / "Flickr").glob("*/*.jpg"):
        path.rename(tmp_path / "Flickr" / path.name)
    assert prepare(tmp_path)["train"].images[0] == "0000_2124494100.jpg"
    folder = tmp_path / "twice"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.jpg").write_bytes(b"")
    found = prepare_nuswide.locate(["b/1.jpg", "c/1.jpg", "d/2.jpg"], folder)
    assert found == ["a/1.jpg", "c/1.jpg", "d/2.jpg"]


def remove(name):
    return lambda root: (root / name).unlink()


def edit(name, change):
    return lambda root: (root / name).write_text(change((root / name).read_text()))


SKY = "TrainTestLabels/Labels_sky_Train.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("Concepts81.txt"), r"expected Concepts81\.txt here .* unpack the concept list"),
        (remove("ImageList/TrainImagelist.txt"), "expected ImageList/TrainImagelist.txt here"),
        (remove(SKY), r"Labels_sky_Train\.txt: no such file: expected the labels of sky"),
        (edit(SKY, lambda t: t[:-2]), r"Labels_sky_Train\.txt: expected 24 labels, .* got 23"),
        (edit(SKY, lambda t: "0\n2\n" + t[4:]), r"Labels_sky_Train\.txt:2: expected 0 or 1, got 2"),
        (
            lambda root: (root / "Flickr").rename(root / "Fotos"),
            "Flickr: no such folder: expected the images; unpack their archive",
        ),
        (
            lambda root: [path.unlink() for path in (root / "Flickr").glob("*/*")],
            r"Flickr: expected images such as actor/0000_.*jpg, got none of the 20 listed; is it",
        ),
        (
            edit(
                "ImageList/TrainImagelist.txt", lambda t: t.replace("1_2124494101", "3_2124494103")
            ),
            r"TrainImagelist\.txt: image zebra/0003_2124494103\.jpg is listed twice",
        ),
    ],
)
def test_bad_input_is_named(tmp_path, damage, message):
    nuswide_tree(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        prepare(tmp_path)


def test_the_command_works_as_documented(tmp_path):
    nuswide_tree(tmp_path / "data/nuswide")
    (tmp_path / "data/nuswide/TrainTestLabels").rename(tmp_path / "labels")
    (tmp_path / "data/nuswide/Groundtruth").mkdir()
    (tmp_path / "labels").rename(tmp_path / "data/nuswide/Groundtruth/TrainTestLabels")
    script = pathlib.Path(prepare_nuswide.__file__)
    words = ["--root", "data/nuswide", "--images", "data/nuswide/Flickr", "--out", "data/nuswide"]
    run = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("data/nuswide/train: raw 24, without_labels 4, missing 0")
    assert len(PreparedSet(tmp_path / "data/nuswide/test")) == 13
