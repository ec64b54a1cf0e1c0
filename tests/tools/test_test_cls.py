"""test_cls.py from snapshots to the table, against the nets' formula in numpy."""

import csv
import json
import pathlib

import cv2
import metrics
import numpy as np
import predictions
import pytest
import table
import test_cls

import caffe
from python_layers.prepared_set import PreparedSet
from tests.tools.tiny_runs import write_project, write_weights

RUNS = ["--dataset", "tiny"]
MEAN = np.array([103.52, 116.28, 123.675], np.float32)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The tiny project, as the current folder."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def formula(weights, folder="data/tiny/test"):
    """p of every image, straight from the weights and the pictures."""
    net = caffe.Net("models/tiny/student/test.prototxt", str(weights), caffe.TEST)
    w, b = (blob.data.copy() for blob in net.params["fc"])
    images = PreparedSet(folder)
    pixels = [cv2.resize(images.read_image(n), (6, 6)) - MEAN for n in range(len(images))]
    rows = np.stack([x.transpose(2, 0, 1).reshape(-1) for x in pixels])
    return 1 / (1 + np.exp(-(rows @ w.T + b)))


def result(path="out/tiny/table.json"):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("project")
def test_the_last_snapshots_give_the_formulas_metrics(capsys):
    assert test_cls.main(RUNS) == 0
    rows = {row["row"]: row for row in result()["rows"]}
    assert list(rows) == ["S-Cls (w/o)", "T-WDet", "S-Cls (w/)"]
    labels = PreparedSet("data/tiny/test").labels
    for row, stage in (("S-Cls (w/o)", "student"), ("S-Cls (w/)", "stage2")):
        for run in rows[row]["runs"]:
            path = f"out/tiny/seed{run['seed']}/{stage}/{stage}_iter_20.caffemodel"
            assert run["weights"] == path
            expected = metrics.evaluate(formula(path), labels)
            assert run["values"] == pytest.approx(expected, abs=1e-6)
    text = capsys.readouterr().out
    assert "7 images, 4 classes" in text
    assert "over 2 seeds" in text
    assert "gap closed" in text


@pytest.mark.usefixtures("project")
def test_the_csv_holds_every_run():
    test_cls.main([*RUNS, "--csv", "here.csv", "--json", "here.json"])
    lines = list(csv.DictReader(pathlib.Path("here.csv").read_text("utf-8").splitlines()))
    assert [line["seed"] for line in lines if line["row"] == "T-WDet"] == ["1", "2", "mean", "std"]
    assert result("here.json")["dataset"] == "tiny"


def test_predictions_are_kept_in_order_without_the_surplus(project):
    model = project / "models/tiny/student/test.prototxt"
    weights = project / "out/tiny/seed1/student/student_iter_20.caffemodel"
    scores, labels = predictions.predictions(model, weights)
    assert scores.shape == labels.shape == (7, 4)
    np.testing.assert_allclose(scores, formula(weights), atol=1e-6)
    np.testing.assert_array_equal(np.load(weights.with_suffix(".predictions.npy")), scores)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 9])
def test_the_batch_size_does_not_change_the_predictions(project, batch_size):
    model = project / "models/tiny/student/test.prototxt"
    weights = project / "out/tiny/seed1/student/student_iter_20.caffemodel"
    scores, _ = predictions.predictions(model, weights, batch_size=batch_size)
    np.testing.assert_allclose(scores, formula(weights), atol=1e-6)


def count_runs(monkeypatch):
    """Names of the nets that are run from now on."""
    ran, run_net = [], predictions.run_net
    monkeypatch.setattr(
        predictions, "run_net", lambda net, *rest: ran.append(net.name) or run_net(net, *rest)
    )
    return ran


def test_a_second_call_runs_no_net(project, monkeypatch):
    ran = count_runs(monkeypatch)
    test_cls.main(RUNS)
    assert sorted(ran) == ["student"] * 4 + ["wsddn"] * 2
    test_cls.main([*RUNS, "--ap", "plain", "--f1c-rule", "ratio", "--top-k-rule", "always"])
    assert len(ran) == 6
    assert "whatever their p" in " ".join(result()["conventions"])


@pytest.mark.parametrize("change", ["weights", "net", "set", "cut short"])
def test_stale_predictions_are_made_anew(project, monkeypatch, change):
    test_cls.main(RUNS)
    ran = count_runs(monkeypatch)
    weights = project / "out/tiny/seed2/stage2/stage2_iter_20.caffemodel"
    model = project / "models/tiny/student/test.prototxt"
    if change == "weights":
        write_weights(model, weights, seed=77)
    elif change == "net":
        model.write_text(model.read_text() + "# changed\n")
    elif change == "cut short":
        path = weights.with_suffix(".predictions.npy")
        path.write_bytes(path.read_bytes()[:-9])
    extra = ["--set", "data/tiny/train"] if change == "set" else []
    assert test_cls.main([*RUNS, *extra]) == 0
    assert len(ran) == {"weights": 1, "cut short": 1, "net": 4, "set": 6}[change]
    folder = extra[1] if extra else "data/tiny/test"
    values = result()["rows"][2]["runs"][1]["values"]
    expected = metrics.evaluate(formula(weights, folder), PreparedSet(folder).labels)
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("project")
def test_rows_of_your_own():
    options = []
    for seed in (1, 2):
        weights = f"out/tiny/seed{seed}/stage1/stage1_iter_9.caffemodel"
        options += ["--model", "models/tiny/student/test.prototxt", "--weights", weights]
        options += ["--name", "after stage 1"]
    assert test_cls.main([*RUNS, *options]) == 0
    (row,) = result()["rows"]
    assert (row["row"], [run["seed"] for run in row["runs"]]) == ("after stage 1", [0, 1])


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("models/tiny/student/test.prototxt", "models/tiny/student/test.prototxt: cannot read"),
        ("data/tiny/test/set.json", "data/tiny/test/set.json: no such file"),
        ("data/tiny/test/proposals.arr", "proposals.arr: no such file"),
        ("data/tiny/test/004.png", "004.png: cannot read the image"),
        ("out/tiny/seed2/stage2", "out/tiny/seed2/stage2: no snapshot"),
    ],
)
def test_what_is_missing_is_one_line(project, capsys, gone, message):
    path = project / gone
    path.rename(path.with_name("elsewhere"))
    assert test_cls.main(RUNS) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("test_cls.py: ")
    assert message in said
    assert not (project / "out/tiny/table.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runs", "nowhere"], "no snapshot *_iter_<n>.caffemodel in nowhere/seed<k>/{student,"),
        (["--model", "a"], "got 1, 0 and 0 of them"),
        (["--model", "a", "--weights", "b", "--name", "c"], "b: no such weights file"),
        (["--batch-size", "0"], "batch_size: expected an integer >= 1, got 0"),
        (["--set", "data/none"], "data/none/set.json: no such file"),
    ],
)
@pytest.mark.usefixtures("project")
def test_wrong_options_are_one_line(capsys, options, message):
    assert test_cls.main([*RUNS, *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('top: "p"', 'top: "q"', 'net "student": expected p (N,4), got no blob p'),
        ("num_output: 4", "num_output: 3", "layer"),
        ('"scales"', '"shuffle": true, "scales"', "a test net must not shuffle"),
        ("ProposalData", "Other", "no Python layer ProposalData"),
        ("layer {", "layre {", "test.prototxt:2"),
        ('{"source"', '["source"', "layer data: param_str: expected a JSON object, got '["),
        ('"source"', '"sauce"', "layer data: param_str: source: expected the folder of a prepared"),
    ],
)
def test_a_net_that_does_not_fit_is_named(project, capsys, old, new, message):
    model = project / "models/tiny/student/test.prototxt"
    model.write_text(model.read_text().replace(old, new, 1))
    assert test_cls.main(RUNS) == 1
    assert message in capsys.readouterr().err


def test_the_table_names_what_the_columns_mean(project):
    test_cls.main([*RUNS, "--threshold", "0.4"])
    assert any("p >= 0.4" in line for line in result()["conventions"])
    assert result()["columns"] == list(metrics.COLUMNS)
    assert [d["row"] for d in result()["differences"]] == [table.GAIN, table.GAP, table.SHARE]
