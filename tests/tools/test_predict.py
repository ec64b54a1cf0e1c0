"""predict.py: any deploy net's labels and boxes, as text, JSON or annotated images."""

import json
import shutil

import cv2
import numpy as np
import predict
import pytest

import caffe
from python_layers.prepared_set import PreparedSet
from tests.tools.tiny_runs import BOXES, REGIONS, SCORES, SIDE, write_project

INPUT = """
layer {{ name: "data" type: "Input" top: "data" input_param {{
  shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }} }} }}
"""
ROIS = """
layer {{ name: "rois" type: "Input" top: "rois" input_param {{ shape {{ dim: {boxes} dim: 6 }} }} }}
layer {{ name: "roi_mask" type: "Input" top: "roi_mask" input_param {{
  shape {{ dim: 1 dim: {boxes} }} }} }}
"""
IMAGES = ["data/tiny/test/000.png", "data/tiny/test/003.png"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The tiny project with deploy nets, as the current folder."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    text = INPUT.format(side=SIDE) + SCORES
    (tmp_path / "models/tiny/student/deploy.prototxt").write_text(text)
    rois = ROIS.format(boxes=BOXES)
    (tmp_path / "models/tiny/wsddn/deploy.prototxt").write_text(text + rois + REGIONS)
    return tmp_path


def said_of(capsys, *options):
    assert predict.main([*IMAGES, "--dataset", "tiny", "--format", "json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def p_of_the_set(stage, net):
    """p (7,4) of the tiny test set, through the data layer of the test net."""
    weights = f"out/tiny/seed1/{stage}/{stage}_iter_20.caffemodel"
    made = caffe.Net(f"models/tiny/{net}/test.prototxt", weights, caffe.TEST)
    rows = []
    for _ in range(3):
        made.forward()
        rows.append(made.blobs["p"].data.copy())
    return np.concatenate(rows)[:7]


@pytest.mark.usefixtures("project")
def test_labels_are_those_of_the_test_net_on_the_same_images(capsys):
    said = said_of(capsys, "--top", "4")
    p, classes = p_of_the_set("stage2", "student"), PreparedSet("data/tiny/test").classes
    for entry, image in zip(said, (0, 3), strict=True):
        assert entry["image"] == IMAGES[(0, 3).index(image)]
        assert "boxes" not in entry
        found = {label["label"]: label["p"] for label in entry["labels"]}
        expected = dict(zip(classes, p[image].tolist(), strict=True))
        assert found == pytest.approx(expected, abs=1e-6)
        values = [label["p"] for label in entry["labels"]]
        assert values == sorted(values, reverse=True)


@pytest.mark.usefixtures("project")
def test_the_threshold_decides_how_many_labels(capsys):
    every = said_of(capsys, "--top", "4")
    limit = every[0]["labels"][1]["p"]
    some = said_of(capsys, "--threshold", str(limit - 1e-4))
    assert some[0]["labels"] == every[0]["labels"][:2]


@pytest.fixture
def proposed(monkeypatch):
    """make_proposals.py replaced by copying the test set's boxes of images 0 and 3; its calls."""
    calls = []

    def copy(folder, boxes, settings):
        import prepared

        calls.append((boxes, settings))
        images = PreparedSet("data/tiny/test")
        found = [images.proposals(n, BOXES) for n in (0, 3)]
        sha256 = PreparedSet(folder).images_sha256
        meta = {"images_sha256": sha256}
        prepared.write_proposals(folder / "proposals.arr", found, boxes, meta)

    monkeypatch.setattr(predict, "make_proposals", copy)
    return calls


@pytest.mark.usefixtures("project")
def test_boxes_are_proposals_in_the_images_own_pixels(capsys, proposed):
    said = said_of(capsys, "--net", "wsddn", "--top", "4", "--boxes", "6", "--box-threshold", "0")
    assert proposed == [(BOXES, {})]
    images = PreparedSet("data/tiny/test")
    for entry, image in zip(said, (0, 3), strict=True):
        assert 1 <= len(entry["boxes"]) <= 6
        scores = [row["score"] for row in entry["boxes"]]
        assert scores == sorted(scores, reverse=True)
        stored = images.proposals(image, BOXES)[:, :4]
        for row in entry["boxes"]:
            assert np.abs(stored - row["box"]).max(axis=1).min() < 0.01
            assert row["label"] in images.classes


def test_proposals_are_computed_as_data_does(project, capsys):
    scene = np.full((60, 80, 3), 40, np.uint8)
    cv2.rectangle(scene, (20, 15), (49, 44), (40, 90, 230), -1)
    cv2.imwrite(str(project / "scene one.png"), scene)
    options = ["--dataset", "tiny", "--net", "wsddn", "--format", "json", "--method",
               "selective-search-fast", "--top", "4", "--boxes", "40"]  # fmt: skip
    assert predict.main(["scene one.png", *options, "--box-threshold", "0"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    near = [row for row in entry["boxes"]
            if np.abs(np.subtract(row["box"], [20, 15, 49, 44])).max() <= 2]  # fmt: skip
    assert near, "the square is among the best proposals"


@pytest.mark.usefixtures("project")
def test_annotated_images_hold_the_image_and_a_strip(capsys, proposed, tmp_path):
    options = ["--net", "wsddn", "--top", "2", "--box-threshold", "0", "--annotate", "marked"]
    said = said_of(capsys, *options)
    images = PreparedSet("data/tiny/test")
    for image in (0, 3):
        picture = cv2.imread(str(tmp_path / f"marked/00{image}.png"))
        width, height = images.sizes[image]
        assert picture.shape[1] == width
        assert picture.shape[0] > height
        entry = said[(0, 3).index(image)]
        changed = np.abs(picture[:height].astype(int) - images.read_image(image)).max(axis=2) > 0
        assert changed.any() == bool(entry["boxes"])
    assert proposed


@pytest.mark.usefixtures("project")
def test_text_and_two_images_of_one_name(capsys, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/000.png").write_bytes((tmp_path / IMAGES[0]).read_bytes())
    paths = [IMAGES[0], "more/000.png"]
    assert predict.main([*paths, "--dataset", "tiny", "--annotate", "m", "--threshold", "1"]) == 0
    assert capsys.readouterr().out.count("no label reaches 1") == 2
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["000-2.png", "000.png"]


@pytest.mark.usefixtures("project")
def test_a_net_from_elsewhere_with_classes_from_a_file(capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text(INPUT.format(side=SIDE) + SCORES)
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\nfour\n")
    weights = "out/tiny/seed1/student/student_iter_20.caffemodel"
    options = ["--model", "net.prototxt", "--weights", weights, "--top", "1"]
    said = said_of(capsys, *options, "--classes", "names.txt")
    assert said[0]["labels"][0]["label"] in ("one", "two", "three", "four")
    assert predict.main([*IMAGES, *options]) == 1
    assert "no set says the names of the classes: give --classes FILE" in capsys.readouterr().err


def test_a_student_with_another_backbone_is_found(project, capsys):
    shutil.copytree("models/tiny/student", "models/tiny/resnet18/student")
    options = ("--backbone", "resnet18", "--top", "4")
    runs = project / "out/tiny/seed1"
    for stage, other in (("student", "stage2"), ("stage2", "student")):  # each time the better one
        shutil.copytree(runs / other, runs / "resnet18" / stage)
        said = said_of(capsys, *options)
        p = p_of_the_set(other, "student")[0]
        assert [found["p"] for found in said[0]["labels"]] == pytest.approx(
            sorted(p)[::-1], abs=1e-6
        )


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (["none.jpg"], [], "none.jpg: cannot read the image: No such file"),
        (["models/tiny/student/test.prototxt"], [], "expected a whole JPEG or PNG image"),
        (IMAGES, ["--model", "models/tiny/student/deploy.prototxt"], "--model needs --weights"),
        (IMAGES, ["--weights", "none"], "none: no such weights file"),
        (IMAGES, ["--dataset", "no"], "expected nets in models/no, where those of tiny are"),
        (IMAGES, ["--model", "models/tiny/student/test.prototxt"], "expected a deploy net with an"),
        (IMAGES, ["--classes", "two.txt"], "expected p for 2 classes, got (1, 4)"),
        (
            IMAGES,
            ["--backbone", "resnet18"],
            "tiny/resnet18/student/deploy.prototxt: cannot",
        ),
        (IMAGES, ["--backbone", "resnet18", "--net", "wsddn"], "teacher (--net wsddn) has VGG16"),
        (IMAGES, ["--net", "wsddn", "--method", "magic"], "data/make_proposals.py: "),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_wrong_is_one_line(capsys, tmp_path, images, options, message):
    (tmp_path / "two.txt").write_text("a\nb\n")
    assert predict.main([*images, "--dataset", "tiny", *options]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("predict.py: ")
    assert message in said[0]
