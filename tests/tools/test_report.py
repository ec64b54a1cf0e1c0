"""report.py: its parts by hand, and the whole page of a tiny project."""

import html.parser
import json
import re
import shutil

import cv2
import metrics
import numpy as np
import pytest
import report
import table
import test_det

from tests.tools.tiny_runs import write_project


class Page(html.parser.HTMLParser):
    """Text, tags and references of a page; complains about tags that do not match."""

    def __init__(self, content):
        super().__init__()
        self.words, self.open, self.tags, self.references = [], [], [], []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [v for k, v in attributes if k in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.remove(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The tiny project, as the current folder."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def page_of(project, *options):
    assert report.main(["--dataset", "tiny", *options]) == 0
    return Page((project / "out/tiny/report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_needs_nothing_else(project):
    page = page_of(project, "--examples", "3")
    assert page.references
    assert all(reference.startswith("data:") for reference in page.references)
    for section in ("Results", "Change per class", "Precision and recall per class", "Examples",
                    "Training", "What was run"):  # fmt: skip
        assert section in page.text
    for words in ("S-Cls (w/o)", "T-WDet", "gap closed (%)", "interpolated as in VOC2012",
                  "bee & wasp", "tools/train.py wsddn", "2 cores", "7 test images"):  # fmt: skip
        assert words in page.text
    assert page.tags.count("picture") == 1 + 4, "changes per class, four stages"


def test_numbers_of_the_page_are_those_of_the_table(project):
    page = page_of(project)
    report.test_cls.main(["--dataset", "tiny"])
    result = json.loads((project / "out/tiny/table.json").read_text())
    for _, _, cells in table.display_lines(result) + table.difference_lines(result):
        for text in cells:
            assert text in page.text


def test_every_class_has_a_curve_of_every_row(project):
    page = page_of(project)
    labels = report.PreparedSet("data/tiny/test").labels
    assert page.tags.count("polyline") == 3 * labels.any(axis=0).sum()
    for count in labels.sum(axis=0):
        assert f"{count} images" in page.text
    report.test_cls.main(["--dataset", "tiny"])
    low, high = json.loads((project / "out/tiny/table.json").read_text())["rows"][0]["interval"]
    assert f"(95%: {low:.1f}–{high:.1f})" in page.text


def test_detections_are_shown_once_they_are_scored(project, capsys):
    assert "CorLoc" not in page_of(project).text
    assert test_det.main(["--dataset", "tiny"]) == 0
    value = json.loads((project / "out/tiny/detection.json").read_text())["mean"]["CorLoc"]
    page = page_of(project)
    assert f"{value:.1f}±" in page.text
    assert "NMS at IoU 0.4" in page.text
    (project / "out/tiny/detection.json").write_text('{"columns": []}')
    assert report.main(["--dataset", "tiny"]) == 1
    assert "detection.json: expected the result of test_det.py" in capsys.readouterr().err


def test_other_methods_have_rows_curves_and_losses(project):
    for seed in (1, 2):
        folder = project / f"out/tiny/seed{seed}"
        for stage in ("stage1", "stage2"):
            shutil.copytree(folder / stage, folder / "fitnets" / stage)
    page = page_of(project)
    assert "FitNets: stage 1" in page.text
    assert "FitNets: stage 2" in page.text
    labels = report.PreparedSet("data/tiny/test").labels
    assert page.tags.count("polyline") == 4 * labels.any(axis=0).sum()
    content = (project / "out/tiny/report.html").read_text(encoding="utf-8")
    assert content.count('<polyline class="line3"') == labels.any(axis=0).sum()


def test_students_with_another_backbone_have_rows_and_losses_and_seven_rows_a_curve(project):
    shutil.copytree("models/tiny/student", "models/tiny/mobilenet_v1/student")
    for seed in (1, 2):
        folder = project / f"out/tiny/seed{seed}"
        for stage in ("stage1", "stage2"):
            shutil.copytree(folder / stage, folder / "mobilenet_v1" / stage)
        for method in ("hinton", "fitnets", "attention", "released"):
            shutil.copytree(folder / "stage2", folder / method / "stage2")
    shutil.copytree(folder / "stage1", project / "out/tiny/mobilenet_v1/pretrain")
    page = page_of(project)
    assert "S-Cls (w/), MobileNet v1" in page.text
    assert "MobileNet v1, stage 1: feature-level transfer" in page.text
    assert "MobileNet v1, single-object classification" in page.text
    labels = report.PreparedSet("data/tiny/test").labels
    assert page.tags.count("polyline") == 7 * labels.any(axis=0).sum()


def test_a_run_without_a_teacher_has_no_examples(project):
    for seed in (1, 2):
        for path in (project / f"out/tiny/seed{seed}/wsddn").glob("*.caffemodel"):
            path.unlink()
    page = page_of(project)
    assert "Examples" not in page.text
    assert "Change per class" in page.text


def test_a_seed_without_the_distilled_student(project):
    (project / "out/tiny/seed1/stage2").rename(project / "elsewhere")
    text = page_of(project).text
    assert "S-Cls (w/): of seed 2 alone, not of 1, 2: its mean does not compare" in text
    assert "Evaluation of S-Cls (w/o), T-WDet, S-Cls (w/)." in text
    assert "Examples" in text, "of seed 2, which has all"


def test_a_command_that_trained_two_stages_stands_there_once(project):
    for stage in ("stage1", "stage2"):
        path = project / "out/tiny/seed1" / stage / "log.jsonl"
        content = path.read_text().replace(f"tools/train.py {stage}", "tools/train.py both")
        path.write_text(content)
    assert page_of(project).text.count("tools/train.py both") == 1


def test_what_is_missing_is_one_line(project, capsys):
    (project / "data/tiny/train/set.json").unlink()
    assert report.main(["--dataset", "tiny"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("report.py: data/tiny/train/set.json: no such file")
    assert not (project / "out/tiny/report.html").exists()


def test_read_log_keeps_the_later_record_and_sorts(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"batch_size": 10}\n{"iter": 5, "loss": 2, "images_per_s": 25}\n'
        '{"iter": 10, "loss": 1}\n{"iter": 10, "loss": 0.5, "images_per_s": 50}\n'
    )
    log = report.read_log(path)
    assert [(r["iter"], r["loss"]) for r in log.records] == [(5, 2.0), (10, 0.5)]
    assert report.seconds_spent(log) == pytest.approx(5 * 10 / 25 + 5 * 10 / 50)


@pytest.mark.parametrize(
    "line", ["{", '{"iter": 3}', '{"loss": 2}', '{"iter": 3, "loss": "x"}', "7"]
)
def test_a_broken_log_line_is_named(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text('{"iter": 1, "loss": 2}\n' + line + "\n")
    with pytest.raises(report.UserError, match=r"log\.jsonl:2: expected"):
        report.read_log(path)


@pytest.mark.parametrize(
    ("seconds", "words"), [(47.6, "48 s"), (200, "3 min 20 s"), (7510, "2 h 5 min")]
)
def test_duration(seconds, words):
    assert report.duration(seconds) == words


def test_best_boxes_by_hand():
    rois = np.array(
        [[1, 0, 10, 9, 29, 7], [1, 20, 0, 39, 39, 8], [1, 5, 5, 5, 5, 9], [1, 0, 0, 0, 0, 0]], float
    )
    s = np.array([[0.1, 0.2], [0.4, 0.3], [0.05, 0.02], [0.9, 0.9]])
    boxes = report.best_boxes(rois, s, np.array([0, 0, 0, -1e4]), 40, ["ant", "bee"])
    assert [(b["label"], round(b["weight"], 6)) for b in boxes] == [
        ("ant", 1.0),
        ("bee", 0.5),
        ("ant", 0.125),
    ]
    assert [boxes[1][k] for k in ("x", "y", "width", "height")] == [0, 25, 25, 50]


def test_at_most_ten_boxes():
    rois, s = np.zeros((23, 6)), np.linspace(0.1, 0.5, 23)[:, None]
    boxes = report.best_boxes(rois, s, np.zeros(23), 40, ["ant"])
    assert [round(b["weight"], 4) for b in boxes] == [round(x / 0.5, 4) for x in s[:12:-1, 0]]


def test_answers_are_the_three_highest_with_their_truth():
    p, truth = np.array([0.1, 0.9, 0.4, 0.6]), np.array([1, 0, 1, 1])
    found = report.answers(p, truth, ["ant", "bee", "cat", "dog"])
    assert [(a["label"], a["right"]) for a in found] == [
        ("bee", False),
        ("dog", True),
        ("cat", True),
    ]


def test_examples_are_spread_over_the_images_that_differ():
    without = np.tile([0.9, 0.8, 0.7, 0.1, 0.2], (20, 1))
    other = without.copy()
    other[[3, 5, 8, 12, 19]] = [0.1, 0.9, 0.8, 0.7, 0.2]
    other[6] = [0.7, 0.9, 0.8, 0.1, 0.2]  # another order of the same three
    assert report.choose_examples(without, other, 3) == [3, 8, 19]
    assert report.choose_examples(without, other, 9) == [3, 5, 8, 12, 19]
    assert report.choose_examples(without, without, 3) == []


def test_teacher_boxes_belong_to_their_image(project):
    model = project / "models/tiny/wsddn/test.prototxt"
    weights = project / "out/tiny/seed1/wsddn/wsddn_iter_20.caffemodel"
    feed = report.Feed(model, weights)
    images = feed.set
    found = report.teacher_boxes(feed, [1, 2, 4, 5])
    assert sorted(found) == [1, 2, 4, 5]
    for index, boxes in found.items():
        width, height = images.sizes[index]
        corners = 100 * images.proposals(index, 5)[:, :2] / (width, height)
        shown = sorted((box["x"], box["y"]) for box in boxes)
        np.testing.assert_allclose(shown, sorted(map(tuple, corners)), atol=0.01)
        assert boxes[0]["weight"] == 1.0


def test_picture_is_shrunk_to_a_decodable_jpeg():
    image = np.full((300, 960, 3), (10, 120, 240), np.uint8)
    uri, width, height = report.picture_of(image)
    assert (width, height) == (480, 150)
    content = report.figures.base64.b64decode(uri.split(",", 1)[1])
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (150, 480, 3)
    assert np.abs(decoded.astype(int) - (10, 120, 240)).max() < 6


def headline_of(without, with_, teacher):
    values = {table.STUDENT: without, table.DISTILLED: with_, table.TEACHER: teacher}
    runs = [
        table.Run(row, 1, dict.fromkeys(metrics.COLUMNS, value), 9, 4, 4, "w")
        for row, value in values.items()
    ]
    return report.headline(table.build_table("demo", runs, metrics.Conventions()))


def test_the_headline_says_which_way_it_went():
    assert headline_of(40, 50, 60) == (
        "Distillation raises the student's mAP: 40.0 without, 50.0 with it (+10.0 points), "
        "50% of the way to the teacher's 60.0."
    )
    assert headline_of(40, 39, 60).startswith("Distillation does not raise the student's mAP: 40.0")
    assert headline_of(40, 42, 38).endswith("(+2.0 points).")
