"""Images and a CSV file -> prepared sets for training and test, and the messages."""

import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import prepare_csv
import prepared
import pytest

from python_layers.array_file import DataError
from python_layers.prepared_set import PreparedSet
from tests.data_trees import ODD, files_of, size_of, write_image

ROOT = pathlib.Path(prepare_csv.__file__).parent
FORMS = {
    "joined": "file,labels,split\na/0.jpg,cup; spoon,train\n1.jpg,,test\n2.jpg,knife;,test\n"
    "a/3.jpg,spoon,train\n4.jpg,cup;knife,train\n",
    "columns": "Image,cup,Split,knife,spoon\na/0.jpg,1,train,0,1\n1.jpg,0,TEST,0,0\n"
    "2.jpg,0,test,1,0\na/3.jpg,0,train,0,1\n4.jpg,1,train,1,0\n",
}
IMAGES = ("a/0.jpg", "1.jpg", "2.jpg", "a/3.jpg", "4.jpg")


@pytest.fixture
def images(tmp_path):
    """Five images of unequal sizes, four of them odd: grayscale, CMYK, 16 bit, turned."""
    for number, (name, kind) in enumerate(zip(IMAGES, ("plain", *ODD), strict=True)):
        write_image(tmp_path / "photos" / name, number, kind)
    return tmp_path


def prepare(root, text, **options):
    path = root / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return prepare_csv.prepare_csv(path, root / "photos", root / "out", **options)


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_both_forms_give_the_same_sets(images, text, capsys):
    counts = prepare(images, text)
    none = {"missing": 0, "unreadable": 0}
    assert counts["train"] == {"raw": 3, "without_labels": 0, **none, "kept": 3}
    assert counts["test"] == {"raw": 2, "without_labels": 1, **none, "kept": 1}
    train, test = (PreparedSet(images / "out" / split) for split in ("train", "test"))
    assert train.classes == test.classes == ["cup", "knife", "spoon"]
    assert train.images == ["a/0.jpg", "a/3.jpg", "4.jpg"]
    assert test.images == ["2.jpg"]
    np.testing.assert_array_equal(train.labels, [[1, 0, 1], [0, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(test.labels, [[0, 1, 0]])
    np.testing.assert_array_equal(train.sizes, [size_of(number) for number in (0, 3, 4)])
    assert train.read_image(1).shape == (*size_of(3)[::-1], 3)
    assert len(train.truth(0)) == 0
    assert capsys.readouterr().out == (
        f"{images}/out/train: raw 3, without_labels 0, missing 0, unreadable 0, kept 3\n"
        f"{images}/out/test: raw 2, without_labels 1, missing 0, unreadable 0, kept 1\n"
        "class   train    test\n"
        "cup         2       0\n"
        "knife       1       1\n"
        "spoon       2       0\n"
    )


def test_unlabelled_images_are_kept_if_asked(images):
    assert prepare(images, FORMS["joined"], keep_unlabelled=True)["test"]["kept"] == 2
    np.testing.assert_array_equal(PreparedSet(images / "out/test").labels, [[0, 0, 0], [0, 1, 0]])


def test_the_form_of_a_spreadsheet(images):
    """A byte order mark, \\r\\n, blank rows, quotes, commas in names; no titles."""
    text = '\ufeff"a/0.jpg","cup, large;spoon"\r\n\r\n1.jpg ,spoon\r\n , \r\n2.jpg,"spoon"\r\n'
    prepare(images, text, test_share=0.5, seed=2)
    sets = [PreparedSet(images / "out" / split) for split in ("train", "test")]
    assert sets[0].classes == ["cup, large", "spoon"]
    labels = {}
    for part in sets:
        labels |= zip(part.images, part.labels.sum(axis=1), strict=True)
    assert labels == {"a/0.jpg": 2, "1.jpg": 1, "2.jpg": 1}


def test_names_and_seed_choose_the_split_whatever_the_order():
    names = [f"{number}.jpg" for number in range(400)]

    def chosen(names, share=0.25, seed=1):
        rows = [(number, [name, "cup"]) for number, name in enumerate(names)]
        splits = prepare_csv.read_splits(["file", "labels"], rows, share, seed, "x.csv")
        return {name for name, split in zip(names, splits, strict=True) if split == "test"}

    first = chosen(names)
    digests = {name: hashlib.sha256(f"1 {name}".encode()).hexdigest() for name in names}
    assert first == {name for name, digest in digests.items() if digest[0] in "0123"}
    assert 75 <= len(first) <= 125
    assert chosen(names[::-1]) == first
    assert chosen(names[:300]) == first & set(names[:300])
    assert chosen(names, seed=2) != first
    assert chosen(names, share=None) < first  # a fifth


def test_a_second_run_writes_the_same_bytes(images):
    prepare(images, FORMS["joined"])
    first = files_of(images / "out")
    prepare(images, FORMS["joined"])
    assert files_of(images / "out") == first
    names = ("images.txt", "labels.arr", "set.json")
    assert sorted(first) == [f"{split}/{name}" for split in ("test", "train") for name in names]


def test_a_run_goes_on_where_it_was_interrupted(images, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "write_set", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(images, FORMS["joined"])
    record = (images / "out/train/images.checked").read_text()
    assert record.count(".jpg") == 3
    monkeypatch.setattr("image_files.decode_image", None)
    (images / "photos/2.jpg").unlink()
    with pytest.raises(DataError, match="got none of the 1 listed"):  # train was not opened again
        prepare(images, FORMS["joined"])
    assert not (images / "out/train/images.checked").exists()


def test_broken_images_stop_or_are_left_out(images):
    (images / "photos/a/3.jpg").write_bytes(b"")
    (images / "photos/4.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 3 images cannot be used, all of them listed in .*t"):
        prepare(images, FORMS["columns"])
    left_out = (images / "out/train/left_out.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in left_out] == ["4.jpg", "a/3.jpg"]
    counts = prepare(images, FORMS["columns"], skip_unreadable=True)
    assert counts["train"] == {
        "raw": 3, "without_labels": 0, "missing": 1, "unreadable": 1, "kept": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"csv:1: expected rows such as photo\.jpg,cat;dog, got none"),
        ("file,labels\n", r"csv: expected labels in the column labels, got none"),
        ("1.jpg\n", r"csv:1: expected 2 columns \(file,labels\), got 1; a file of other columns"),
        ("1.jpg,0,1\n", r"csv:1: expected 2 columns \(file,labels\), got 3; a .* titles: file,"),
        ("file,labels\n1.jpg,a\n\n2.jpg\n", r"csv:4: expected 2 columns \(file,labels\), got 1"),
        ("file,a,,b\n", "csv:1: expected a different title for each column, got file,a,,b"),
        ("file,a,a\n", "csv:1: expected a different title for each column, got file,a,a"),
        ("file,split,a,SPLIT\n", "csv:1: expected a different title for each column"),
        ("file,split\n", "csv:1: expected a column labels or one per class, got no such column"),
        ("file,a,b\n1.jpg,1,0\n2.jpg,1,2\n", r"csv:3: column b: expected 0 or 1, got '2'; names"),
        ("file,labels,b\n1.jpg,dog,1\n", "csv:2: column labels: expected 0 or 1, got 'dog'; name"),
        ("1.jpg,a\n,b\n", "csv:2: expected an image in the first column, got none"),
        ("1.jpg,a\n2.jpg,b\n1.jpg,c\n", r"csv:3: 1\.jpg is in line 1 already; give all its labels"),
        (
            "file,labels,split\n1.jpg,a,train\n2.jpg,a,val\n",
            r"csv:3: column split: expected train or test, got 'val'",
        ),
        (
            "file,labels,split\n1.jpg,a,train\n",
            "csv: expected images for train and test, got none for test; change the column split",
        ),
        ('1.jpg,a\n2.jpg,"b" c\n', r"csv:2: .* expected after .*; correct the quotes"),
        (b"1.jpg,a\n2.jpg,caf\xe9\n", r"csv:2: expected text in UTF-8; convert the file"),
    ],
)
def test_bad_rows_are_named(images, text, message):
    with pytest.raises(DataError, match=message):
        prepare(images, text)
    assert not (images / "out").exists()


def test_a_column_split_and_a_share_exclude_each_other(images):
    with pytest.raises(DataError, match=r"csv: has a column split: leave --test-share away, or"):
        prepare(images, FORMS["joined"], test_share=0.5)


def run(root, *words):
    """The command's (exit code, standard error)."""
    command = [sys.executable, str(ROOT / "prepare_csv.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    return done.returncode, done.stderr


def test_the_command(images):
    (images / "x.csv").write_text(FORMS["joined"])
    words = ("--csv", "x.csv", "--images", "photos", "--out", "out")
    code, said = run(images, *words)
    assert code == 0
    assert "images: 100%" in said
    assert run(images, "--csv", "y.csv", *words[2:])[0] == 1
    code, said = run(images, *words[:3], "nowhere", *words[4:])
    assert code == 1
    assert said == (
        "prepare_csv.py: error: nowhere: no such folder: expected the images; unpack their "
        "archive\n"
    )
    code, said = run(images, *words, "--test-share", "1")
    assert code == 2
    assert said.endswith("--test-share: expected a number between 0 and 1, got '1'\n")
