"""test_cls.py from snapshots to the table, against the nets' formula in numpy."""

import csv
import json
import pathlib
import shutil

import cv2
import metrics
import numpy as np
import predictions
import pytest
import table
import test_cls
from feeding import ViewPlan

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
        predictions,
        "run_net",
        lambda feed, title: ran.append(feed.net.name) or run_net(feed, title),
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
        (["--runs", "a", "b"], "--runs: expected one per data set (1), got 2"),
        (["--dataset", "tiny", "b", "--json", "x"], "name the file of one data set"),
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


def test_a_net_that_shuffles_and_mirrors_is_tested_in_order(project):
    model = project / "models/tiny/student/test.prototxt"
    text = model.read_text()
    model.write_text(text.replace('"scales"', '"shuffle": true, "mirror": true, "scales"'))
    weights = project / "out/tiny/seed1/student/student_iter_20.caffemodel"
    scores, _ = predictions.predictions(model, weights)
    np.testing.assert_allclose(scores, formula(weights), atol=1e-6)


def shown_as(weights, pixels):
    """p of images (7,6,6,3) after the mean is gone, straight from the weights."""
    net = caffe.Net("models/tiny/student/test.prototxt", str(weights), caffe.TEST)
    w, b = (blob.data.copy() for blob in net.params["fc"])
    rows = pixels.transpose(0, 3, 1, 2).reshape(7, -1)
    return 1 / (1 + np.exp(-(rows @ w.T + b)))


@pytest.mark.parametrize("options", [[], ["--mirror"], ["--crops", "5"], ["--crops", "10"]])
def test_p_is_the_mean_over_the_views(project, options):
    weights = project / "out/tiny/seed1/student/student_iter_20.caffemodel"
    images = PreparedSet("data/tiny/test")

    def resized(side):
        images_ = [cv2.resize(images.read_image(n), (side, side)) - MEAN for n in range(7)]
        return np.stack(images_)

    whole, larger = resized(6), resized(7)  # 6 * 8/7 is 6.86
    corners = [larger[:, y : y + 6, x : x + 6] for y in (0, 1) for x in (0, 1)]
    crops = [*corners, larger[:, :6, :6]]  # half of the one pixel of room rounds to 0
    flipped = [larger[:, y : y + 6, 1 - x : 7 - x, :][:, :, ::-1] for y in (0, 1) for x in (0, 1)]
    flipped.append(larger[:, :6, 1:7][:, :, ::-1])
    views = {
        "": [whole],
        "--mirror": [whole, whole[:, :, ::-1]],
        "--crops 5": crops,
        "--crops 10": [*crops, *flipped],
    }[" ".join(options)]
    expected = np.mean([shown_as(weights, view) for view in views], axis=0)
    parsed = test_cls.parser().parse_args(options)
    scores, _ = predictions.predictions(
        project / "models/tiny/student/test.prototxt",
        weights,
        view_plan=test_cls.view_plan_of(parsed),
    )
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    if options:
        assert not weights.with_suffix(".predictions.npy").exists(), "that is the single view's"


@pytest.mark.usefixtures("project")
def test_the_teacher_takes_sizes_and_mirrored_images_but_no_crops(capsys):
    teacher = "models/tiny/wsddn/test.prototxt"
    text = pathlib.Path(teacher).read_text()
    pool = 'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { ' \
        "pool: AVE global_pooling: true } }"  # fmt: skip
    text = text.replace('layer { name: "fc"', pool + ' layer { name: "fc"')
    pathlib.Path(teacher).write_text(
        text.replace('bottom: "data" top: "z"', 'bottom: "pool" top: "z"')
    )
    write_weights(teacher, pathlib.Path("w.caffemodel"), seed=1)
    row = ["--model", teacher, "--weights", "w.caffemodel", "--name", "T-WDet"]
    assert test_cls.main([*RUNS, *row, "--scales", "5", "9", "--mirror"]) == 0
    assert "mean over 2 scales (5, 9) x mirror" in capsys.readouterr().out
    each = [test_cls.read_scores(candidate("T-WDet", teacher), None, ViewPlan((side,)))[0]
            for side in (5, 9)]  # fmt: skip
    both = test_cls.read_scores(candidate("T-WDet", teacher), None, ViewPlan((5, 9), True))[0]
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)
    plans = (ViewPlan(crops=5), ViewPlan()), (ViewPlan(crops=10), ViewPlan(mirror=True))
    for crops, plain in plans:
        found = [test_cls.read_scores(candidate("T-WDet", teacher), None, plan)[0]
                 for plan in (crops, plain)]  # fmt: skip
        np.testing.assert_array_equal(*found)


def candidate(row, model):
    return test_cls.Candidate(row, 0, pathlib.Path(model), pathlib.Path("w.caffemodel"))


def test_kept_predictions_are_a_row_without_net_or_weights(project, capsys):
    test_cls.main(RUNS)
    before = result()["rows"][0]["runs"][1]["values"]
    here = project / "elsewhere"
    here.mkdir()
    for suffix in ("npy", "json"):
        name = f"student_iter_20.predictions.{suffix}"
        (project / "out/tiny/seed2/student" / name).rename(here / name)
    for folder in ("models", "out"):
        (project / folder).rename(project / f"no_{folder}")
    row = ["--predictions", "mine", "elsewhere/student_iter_20.predictions.npy"]
    assert test_cls.main([*RUNS, *row]) == 0
    (found,) = result()["rows"]
    assert (found["row"], found["mean"]) == ("mine", before)
    capsys.readouterr()
    assert test_cls.main([*RUNS, *row, "--set", "data/tiny/train"]) == 1
    assert (
        "made for other images or classes than those of data/tiny/train" in capsys.readouterr().err
    )
    (here / "student_iter_20.predictions.json").write_text("{}")
    assert test_cls.main([*RUNS, *row]) == 1
    assert "expected predictions and student_iter_20.predictions.json" in capsys.readouterr().err
    assert test_cls.main([*RUNS, "--predictions", "mine", "none.npy"]) == 1
    assert "none.npy: no such file" in capsys.readouterr().err


def second_data_set(project):
    """The same project under another name, "other"."""
    for kind in ("models", "out", "data"):
        shutil.copytree(project / kind / "tiny", project / kind / "other")
    for path in (project / "models/other").rglob("*.prototxt"):
        path.write_text(path.read_text().replace("data/tiny", "data/other"))


def test_several_data_sets_at_once(project, capsys):
    second_data_set(project)
    assert test_cls.main(["--dataset", "tiny", "other", "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert [made["dataset"] for made in tables] == ["tiny", "other"]
    assert tables == [result(), result("out/other/table.json")]
    sets = ["--set", "data/other/test", "data/tiny/train"]
    assert test_cls.main(["--dataset", "tiny", "other", *sets]) == 0
    assert [result()["images"], result("out/other/table.json")["images"]] == [7, 5]


def test_rows_of_your_own_for_several_data_sets(project):
    second_data_set(project)
    rows = []
    for name, dataset, seed in (("a", "tiny", 1), ("a", "other", 1), ("a", "other", 2)):
        weights = f"out/{dataset}/seed{seed}/stage1/stage1_iter_9.caffemodel"
        rows += ["--model", f"models/{dataset}/student/test.prototxt", "--weights", weights]
        rows += ["--name", name]
    assert test_cls.main([*rows, "--dataset", "tiny", "other", "other"]) == 0
    found = [[len(row["runs"]) for row in result(f"out/{name}/table.json")["rows"]]
             for name in ("tiny", "other")]  # fmt: skip
    assert found == [[1], [2]]


@pytest.mark.usefixtures("project")
def test_rows_of_different_images_make_no_table(capsys):
    net = pathlib.Path("models/tiny/student/other.prototxt")
    text = pathlib.Path("models/tiny/student/test.prototxt").read_text()
    net.write_text(text.replace("data/tiny/test", "data/tiny/train"))
    rows = []
    for name, model in (("a", "test"), ("b", "other")):
        weights = "out/tiny/seed1/stage1/stage1_iter_9.caffemodel"
        rows += ["--model", f"models/tiny/student/{model}.prototxt", "--weights", weights]
        rows += ["--name", name]
    assert test_cls.main([*RUNS, *rows]) == 1
    assert "b: evaluated on other images than a: give one --set" in capsys.readouterr().err
    assert test_cls.main([*RUNS, *rows, "--set", "data/tiny/test"]) == 0


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("terminal", "tiny, percent"),
        ("markdown", "| tiny, % | source | mAP | 95% |"),
        ("latex", r"\begin{tabular}{llrrrrrr}"),
        ("csv", "dataset,row,source,seed,mAP,"),
        ("json", '"dataset": "tiny"'),
    ],
)
def test_formats(capsys, style, text):
    assert test_cls.main([*RUNS, "--format", style]) == 0
    said = capsys.readouterr()
    assert text in said.out
    assert "wrote" not in said.out
    assert "wrote out/tiny/table.csv" in said.err


@pytest.mark.usefixtures("project")
def test_the_bootstrap_can_be_left_out_and_changes_no_value():
    test_cls.main([*RUNS, "--bootstrap", "0"])
    without = result()
    assert without["rows"][0]["interval"] is None
    test_cls.main([*RUNS, "--bootstrap", "40"])
    assert result()["rows"][0]["mean"] == without["rows"][0]["mean"]
    low, high = result()["rows"][0]["interval"]
    assert low <= result()["rows"][0]["mean"]["mAP"] <= high or low > 0


def test_a_row_of_some_seeds_is_shown_over_those_and_compared_with_none(project, capsys):
    (project / "out/tiny/seed2/stage2").rename(project / "elsewhere")
    assert test_cls.main([*RUNS, "--format", "latex"]) == 0
    note = (
        "S-Cls (w/): of seed 1 alone, not of 1, 2: its mean does not compare with those over "
        "other seeds"
    )
    assert note in capsys.readouterr().out
    rows = {row["row"]: row for row in result()["rows"]}
    assert {name: [run["seed"] for run in row["runs"]] for name, row in rows.items()} == {
        "S-Cls (w/o)": [1, 2], "T-WDet": [1, 2], "S-Cls (w/)": [1],
    }  # fmt: skip
    expected = metrics.evaluate(
        formula("out/tiny/seed1/stage2/stage2_iter_20.caffemodel"),
        PreparedSet("data/tiny/test").labels,
    )
    assert rows["S-Cls (w/)"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert [line["row"] for line in result()["differences"]] == ["T-WDet - w/o"]
    for style in ("terminal", "markdown"):
        test_cls.main([*RUNS, "--format", style])
        assert note in capsys.readouterr().out


@pytest.mark.parametrize("word", ["3", "-0.1", "nan", "half"])
def test_a_threshold_is_a_number_from_0_to_1(capsys, word):
    with pytest.raises(SystemExit):
        test_cls.main([*RUNS, f"--threshold={word}"])
    told = f"--threshold: expected a number from 0 to 1, got '{word}'"
    assert told in capsys.readouterr().err


def test_other_methods_of_distillation_have_rows_of_their_own(project):
    for seed in (1, 2):
        folder = project / f"out/tiny/seed{seed}"
        shutil.copytree(folder / "stage2", folder / "fitnets/stage2")
    test_cls.main(RUNS)
    names = [row["row"] for row in result()["rows"]]
    assert names == ["S-Cls (w/o)", "T-WDet", "FitNets", "S-Cls (w/)"]


def test_students_with_another_backbone_have_rows_differences_and_nets_of_their_own(project):
    shutil.copytree("models/tiny/student", "models/tiny/resnet18/student")
    for seed in (1, 2):
        folder = project / f"out/tiny/seed{seed}"
        shutil.copytree(folder / "student", folder / "resnet18/stage2")
        shutil.copytree(folder / "stage2", folder / "resnet18/student")
    test_cls.main(RUNS)
    rows = {row["row"]: row for row in result()["rows"]}
    assert list(rows)[3:] == ["S-Cls (w/o), ResNet-18", "S-Cls (w/), ResNet-18"]
    assert rows["S-Cls (w/), ResNet-18"]["mean"] == rows["S-Cls (w/o)"]["mean"]
    weights = rows["S-Cls (w/), ResNet-18"]["runs"][0]["weights"]
    assert weights == "out/tiny/seed1/resnet18/stage2/student_iter_20.caffemodel"
    gain, other = (result()["differences"][place] for place in (0, 3))
    assert other["row"] == "w/ - w/o, ResNet-18"
    assert other["mean"]["mAP"] == pytest.approx(-gain["mean"]["mAP"])
    low, high = gain["interval"]
    assert other["interval"] == pytest.approx([-high, -low], abs=0.5)
    shutil.rmtree("models/tiny/resnet18")
    assert test_cls.main(RUNS) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--convention", "mlgcn"], ("Conventions: mlgcn", "p >= 0.5", "not interp", "2 CP CR")),
        (["--convention", "asl"], ("Conventions: asl", "p > 0.8", "not interp", "the classes' F1")),
        (["--convention", "mlgcn", "--ap", "voc2012"], ("2 CP CR", "as in VOC2012")),
    ],
)
@pytest.mark.usefixtures("project")
def test_conventions_by_name(options, words):
    test_cls.main([*RUNS, *options])
    text = "\n".join(result()["conventions"])
    for word in words:
        assert word in text
    assert ("Conventions:" in text) == (len(options) == 2)


def test_the_table_names_what_the_columns_mean(project):
    test_cls.main([*RUNS, "--threshold", "0.4"])
    assert any("p >= 0.4" in line for line in result()["conventions"])
    assert result()["columns"] == list(metrics.COLUMNS)
    assert [d["row"] for d in result()["differences"]] == [table.GAIN, table.GAP, table.SHARE]
