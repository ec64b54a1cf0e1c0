"""test_det.py from snapshots to the numbers, against the nets' formula in numpy."""

import json
import pathlib

import detection
import numpy as np
import pytest
import test_det
from feeding import Feed, ViewPlan

import caffe
from python_layers.array_file import read_arrays, write_arrays
from python_layers.boxes import scale_boxes
from python_layers.prepared_set import PreparedSet
from tests.tools.tiny_runs import write_project

RUNS = ["--dataset", "tiny"]
MODEL = pathlib.Path("models/tiny/wsddn/test.prototxt")
WEIGHTS = pathlib.Path("out/tiny/seed1/wsddn/wsddn_iter_20.caffemodel")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The tiny project, as the current folder."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def score(weights, image, mirrored=False):
    """S (n,K) of an image's proposals, straight from the weights."""
    net = caffe.Net(str(MODEL), str(weights), caffe.TEST)
    w, b = (blob.data.copy() for blob in net.params["regions"])
    images = PreparedSet("data/tiny/test")
    boxes = scale_boxes(images.proposals(image, 5), images.sizes[image], (6, 6))
    if mirrored:
        boxes[:, [0, 2]] = 5 - boxes[:, [2, 0]]
    rows = np.column_stack([np.full(len(boxes), image % 3), boxes])  # batches of three
    return 1 / (1 + np.exp(-(rows @ w.T + b)))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("mirror", [False, True])
def test_detections_are_the_proposals_with_the_mean_score_of_the_views(mirror):
    feed = Feed(MODEL, WEIGHTS, view_plan=ViewPlan(mirror=mirror))
    found = test_det.detect(feed, "")
    images = PreparedSet("data/tiny/test")
    for image in range(7):
        boxes = images.proposals(image, 5)
        views = [score(WEIGHTS, image, m) for m in ((False, True) if mirror else (False,))]
        s = np.mean(views, axis=0)
        for k in range(4):
            mine = found[(found[:, 0] == image) & (found[:, 1] == k)]
            assert mine[0, 2] == pytest.approx(s[:, k].max(), abs=1e-6)
            for row in mine:
                place = int(np.abs(boxes[:, :4] - row[3:]).sum(axis=1).argmin())
                np.testing.assert_allclose(row[3:], boxes[place, :4], atol=1e-4)
                assert row[2] == pytest.approx(s[place, k], abs=1e-6)


def test_boxes_that_overlap_more_than_two_fifths_go_and_the_best_one_stays():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4], [0, 0, 9, 3], [20, 20, 29, 29]], np.float32)
    s = np.array([[0.5, 3e-6], [0.4, 2e-6], [0.3, 1e-6], [2e-5, 5e-6]])
    found = test_det.detections_of(8, boxes, s)
    # class 0: IoU 0.5 goes, 0.4 stays, below 1e-4 goes; class 1: all below, so its best alone
    assert found[:, :2].tolist() == [[8, 0], [8, 0], [8, 1]]
    np.testing.assert_allclose(found[:, 2], [0.5, 0.3, 5e-6], rtol=1e-6)
    assert found[:, 3:].tolist() == boxes[[0, 2, 3]].tolist()


@pytest.mark.usefixtures("project")
def test_an_image_without_proposals_is_one_box():
    images = PreparedSet("data/tiny/test")
    feed = Feed(MODEL, WEIGHTS)
    counts = feed.set._proposals[1].copy()
    counts[2] = 0
    feed.set._proposals = feed.set._proposals[0], counts
    found = test_det.detect(feed, "")
    mine = found[found[:, 0] == 2]
    assert mine[:, 1].tolist() == [0, 1, 2, 3]
    width, height = images.sizes[2]
    assert (mine[:, 3:] == [0, 0, width - 1, height - 1]).all()


def result(path="out/tiny/detection.json"):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("project")
def test_the_numbers_are_those_of_the_detections(capsys):
    assert test_det.main(RUNS) == 0
    images = PreparedSet("data/tiny/test")
    truth = test_det.truth_of(images)
    assert len(truth.boxes) == images.labels.sum(), "the tiny set has one box per label"
    made = result()
    assert [run["seed"] for run in made["runs"]] == [1, 2]
    for run in made["runs"]:
        path = pathlib.Path(run["weights"])
        values, classes = detection.evaluate(test_det.detect(Feed(MODEL, path), ""), truth)
        assert run["values"] == pytest.approx(values)
        assert run["classes"]["CorLoc"] == pytest.approx(classes["CorLoc"])
    text = capsys.readouterr().out
    for words in ("CorLoc", "NMS at IoU 0.4", "7 images of data/tiny/test", "over 2 seeds"):
        assert words in text


@pytest.mark.usefixtures("project")
def test_a_second_call_runs_no_net(monkeypatch):
    assert test_det.main([*RUNS, "--mirror"]) == 0
    assert WEIGHTS.with_suffix(".mirror.detections.npy").exists()
    before = result()
    monkeypatch.delattr(test_det, "Feed")
    assert test_det.main([*RUNS, "--mirror"]) == 0
    assert result() == before


@pytest.mark.usefixtures("project")
def test_the_papers_numbers_stand_below_voc2007(capsys):
    options = ["--dataset", "voc2007", "--model", str(MODEL), "--weights", str(WEIGHTS)]
    assert test_det.main([*options, "--json", "x.json"]) == 0
    text = capsys.readouterr().out
    assert "WSDDN, its paper (quoted)" in text
    assert "34.8" in text
    assert "29.1" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runs", "nowhere"], "in nowhere/seed<k>/wsddn; train first"),
        (["--weights", "none"], "none: no such weights file"),
        (["--model", "models/tiny/student/test.prototxt"], 'net "student": expected blobs rois'),
        (["--set", "data/empty"], "data/empty: expected truth boxes to evaluate with, got none"),
    ],
)
def test_what_is_wrong_is_one_line(project, capsys, options, message):
    if options[1] == "models/tiny/student/test.prototxt":
        options = [*options, "--weights", "out/tiny/seed1/student/student_iter_20.caffemodel"]
    if options[1] == "data/empty":
        write_empty(project)
    assert test_det.main([*RUNS, *options]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("test_det.py: ")
    assert message in said


def write_empty(project):
    """The test set as data/empty, without truth boxes."""
    source = PreparedSet("data/tiny/test")
    (project / "data/tiny/test").rename(project / "data/empty")
    arrays, meta = read_arrays(project / "data/empty/labels.arr")
    arrays["truth"] = arrays["truth"][:0]
    arrays["truth_start"] = np.zeros(len(source) + 1, "<i8")
    arrays.pop("difficult", None)
    write_arrays(project / "data/empty/labels.arr", arrays, meta)
