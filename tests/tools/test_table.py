"""table.py: means, deviations, differences, the paper's numbers and the three ways out."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
import table
from metrics import COLUMNS, Conventions
from rich.console import Console


def run(row, seed, *values, counted=12):
    return table.Run(
        row, seed, dict(zip(COLUMNS, values, strict=True)), 70, 12, counted, f"w{seed}"
    )


@pytest.fixture
def runs():
    return [
        run(table.STUDENT, 0, 40, 30, 35, 28, 33),
        run(table.STUDENT, 1, 42, 32, 36, 29, 31),
        run(table.TEACHER, 0, 60, 50, 52, 45, 46),
        run(table.TEACHER, 1, 66, 51, 52, 46, 40),
        run(table.DISTILLED, 0, 50, 40, 41, 38, 39),
        run(table.DISTILLED, 1, 51, 43, 42, 37, 38),
    ]


def shown(result, width=140):
    out = io.StringIO()
    table.print_table(result, Console(file=out, width=width))
    return out.getvalue()


def test_mean_and_sample_deviation_by_hand(runs):
    row = table.build_table("demo", runs, Conventions())["rows"][0]
    assert row["row"] == "S-Cls (w/o)"
    assert [row["mean"][c] for c in COLUMNS] == [41, 31, 35.5, 28.5, 32]
    assert row["std"]["mAP"] == pytest.approx(2**0.5)
    assert [r["values"]["mAP"] for r in row["runs"]] == [40, 42]


def test_one_seed_has_no_deviation(runs):
    result = table.build_table("demo", runs[::2], Conventions())
    assert set(result["rows"][0]["std"].values()) == {None}
    assert "±" not in shown(result)


def test_differences_and_share_by_hand(runs):
    gain, gap, share = table.build_table("demo", runs, Conventions())["differences"]
    assert (gain["row"], gap["row"]) == ("w/ - w/o", "T-WDet - w/o")
    assert gain["mean"]["mAP"] == pytest.approx(9.5)
    assert gap["mean"]["mAP"] == pytest.approx(22)
    assert share["mean"]["mAP"] == pytest.approx(100 * 9.5 / 22)


def test_students_with_another_backbone_have_a_gain_of_their_own(runs):
    runs += [
        run(f"{table.STUDENT}, ResNet-18", 0, 35, 21, 22, 23, 24),
        run(f"{table.DISTILLED}, ResNet-18", 0, 38.5, 22, 24, 26, 28),
        run(f"{table.DISTILLED}, MobileNet v1", 0, 37, 20, 21, 22, 23),
    ]
    found = table.build_table("demo", runs, Conventions())["differences"]
    names = ["w/ - w/o", "T-WDet - w/o", "gap closed (%)", "w/ - w/o, ResNet-18"]
    assert [line["row"] for line in found] == names
    assert list(found[3]["mean"].values()) == [3.5, 1, 2, 3, 4]
    assert found[0]["mean"]["mAP"] == pytest.approx(9.5)


def test_a_teacher_that_does_not_lead_gives_no_share(runs):
    runs[2:4] = [run(table.TEACHER, seed, 30, 50, 52, 45, 46) for seed in (0, 1)]
    share = table.build_table("demo", runs, Conventions())["differences"][2]
    assert share["mean"]["mAP"] is None
    assert share["mean"]["All F1-C"] is not None


def test_differences_need_both_rows(runs):
    assert table.build_table("demo", runs[2:], Conventions())["differences"] == []
    names = [d["row"] for d in table.build_table("demo", runs[:4], Conventions())["differences"]]
    assert names == ["T-WDet - w/o"]


@pytest.mark.parametrize(("dataset", "gain", "share"), [("coco", 3.7, 48), ("nuswide", 4.5, 173)])
def test_the_papers_own_differences(runs, dataset, gain, share):
    first, _, last = table.build_table(dataset, runs, Conventions())["paper_differences"]
    assert first["mean"]["mAP"] == pytest.approx(gain)
    assert round(last["mean"]["mAP"]) == share
    assert last["mean"]["All F1-C"] is None, "the paper prints no F1 of the teacher"


def test_paper_rows_stand_below_ours_and_the_rest_is_quoted(runs):
    lines = table.display_lines(table.build_table("coco", runs, Conventions()))
    assert [(name, source) for name, source, _ in lines[:3]] == [
        ("S-Cls (w/o)", "ours"),
        ("S-Cls (w/o)", "paper"),
        ("T-WDet", "ours"),
    ]
    assert lines[0][2] == ["41.0±1.4", "31.0±1.4", "35.5±0.7", "28.5±0.7", "32.0±1.4"]
    assert lines[1][2] == ["70.9", "63.6", "67.0", "60.7", "66.7"]
    assert lines[3][2] == ["78.6", "-", "-", "-", "-"]
    assert {source for _, source, _ in lines[6:]} == {"quoted"}
    assert ("CNN-RNN", "quoted", ["-", "-", "-", "60.4", "67.8"]) in lines


def test_every_paper_table_has_as_many_numbers_as_columns():
    for dataset in ("coco", "nuswide", "voc2007"):
        numbers = table.paper_numbers(dataset)
        assert numbers["source"]
        for values in numbers["rows"].values():
            assert tuple(values) == COLUMNS
    assert table.paper_numbers("demo") == {"source": "", "rows": {}}


def test_the_terminal_names_conventions_and_left_out_classes(runs):
    text = shown(
        table.build_table("demo", [run("T-WDet", 0, 1, 2, 3, 4, 5, counted=9)], Conventions())
    )
    assert "70 images, 12 classes, 3 without a positive image left out" in text
    assert "interpolated as in VOC2012" in text
    text = shown(table.build_table("coco", runs, Conventions()))
    assert "sample standard deviation over 2 seeds" in text
    assert "quoted: Liu et al. 2018" in text
    assert "43" in next(line for line in text.splitlines() if table.SHARE in line)


@pytest.mark.parametrize("dataset", ["demo", "coco"])
def test_the_table_fits_in_80_columns(runs, dataset):
    table_part = shown(table.build_table(dataset, runs, Conventions()), 80).split("70 images")[0]
    assert "…" not in table_part
    assert "41.0±1.4" in table_part
    for name in ("S-Cls (w/o)", "T-WDet", "gap closed (%)"):
        assert any(line.strip().startswith(name) for line in table_part.splitlines()), name


def test_json_has_no_nan(runs):
    runs.append(run("Empty", 0, float("nan"), float("nan"), 0, 0, 0))
    loaded = json.loads(table.json_text(table.build_table("demo", runs, Conventions())))
    assert loaded["rows"][3]["mean"] == dict(zip(COLUMNS, [None, None, 0, 0, 0], strict=True))
    assert loaded["rows"][3]["runs"][0]["values"]["mAP"] is None


def test_csv_lines(runs):
    text = table.csv_text(table.build_table("coco", runs, Conventions()))
    lines = list(csv.reader(io.StringIO(text)))
    assert lines[0] == ["dataset", "row", "source", "seed", *COLUMNS, "mAP low", "mAP high"]
    first = ["coco", "S-Cls (w/o)", "ours", "0", "40.0", "30.0", "35.0", "28.0", "33.0", "", ""]
    assert lines[1] == first
    assert lines[3][1:5] == ["S-Cls (w/o)", "ours", "mean", "41.0"]
    assert lines[4][3:5] == ["std", "1.4142"]
    assert ["coco", "T-WDet", "paper", "", "78.6", "", "", "", "", "", ""] in lines
    assert all(len(line) == 6 + len(COLUMNS) for line in lines)


@pytest.fixture
def drawn(runs):
    """The runs with two resamples each: 39 and 43 for the student's mean, 48 and 50 with."""
    pairs = ([38, 42], [40, 44], [60, 61], [60, 61], [47, 50], [49, 50])
    return [
        dataclasses.replace(run, resamples=np.array(pair, float))
        for run, pair in zip(runs, pairs, strict=True)
    ]


def test_intervals_are_of_the_mean_over_seeds_and_differences_of_pairs(drawn):
    result = table.build_table("demo", drawn, Conventions())
    assert result["resamples"] == 2
    assert result["rows"][0]["interval"] == pytest.approx([39.1, 42.9])
    gain, gap, share = result["differences"]
    assert gain["interval"] == pytest.approx([10.05, 11.95]), "9.5 mirrored at 9 and 7"
    assert gap["interval"] == pytest.approx([23.075, 25.925])
    assert share["interval"] is None
    assert table.headings(result)[:2] == ["mAP", "95%"]
    assert table.display_lines(result)[0][2][:3] == ["41.0±1.4", "39.1–42.9", "31.0±1.4"]
    lines = list(csv.DictReader(io.StringIO(table.csv_text(result))))
    found = [(x["row"], x["seed"], x["mAP low"]) for x in lines if x["mAP low"]]
    assert found[0] == ("S-Cls (w/o)", "mean", "39.1")
    assert ("w/ - w/o", "", "10.05") in found
    assert "over 2 resamples of the images" in shown(result)


@pytest.mark.parametrize("dataset", ["demo", "coco"])
def test_the_table_with_intervals_fits_in_80_columns(drawn, dataset):
    table_part = shown(table.build_table(dataset, drawn, Conventions()), 80).split("70 images")[0]
    assert "…" not in table_part
    for text in ("41.0±1.4", "39.1–42.9"):
        assert text in table_part
    for name in ("S-Cls (w/o)", "T-WDet", "gap closed (%)"):
        assert any(line.strip().startswith(name) for line in table_part.splitlines()), name


def test_markdown_has_a_cell_for_every_heading(drawn):
    lines = table.markdown_text(table.build_table("coco", drawn, Conventions())).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {2 + 2 + len(COLUMNS)}
    assert rows[0].startswith("| coco, % | source | mAP | 95% | All F1-C |")
    assert "| S-Cls (w/o) | ours | 41.0±1.4 | 39.1–42.9 | 31.0±1.4 |" in rows[2]
    assert any(line.startswith("| CNN-RNN | quoted | - |") for line in rows)
    assert "* F1-O: precision and recall pooled over all labels of all images" in lines


def test_markdown_keeps_bars_in_names_apart(runs):
    renamed = [dataclasses.replace(runs[0], row="a|b")]
    text = table.markdown_text(table.build_table("demo", renamed, Conventions()))
    assert "| a\\|b | ours |" in text


def test_latex_escapes_and_is_a_whole_tabular(drawn):
    renamed = [*drawn[:2], *(dataclasses.replace(r, row="50% & a_b > {c}\\") for r in drawn[2:4])]
    lines = table.latex_text(table.build_table("demo", renamed, Conventions())).splitlines()
    assert r"S-Cls (w/o) & ours & 41.0$\pm$1.4 & 39.1--42.9 & 31.0$\pm$1.4" in "\n".join(lines)
    assert any(line.startswith(r"50\% \& a\_b $>$ \{c\}\textbackslash{} & ours") for line in lines)
    begin, end = (lines.index(text) for text in (r"\begin{tabular}{llrrrrrr}", r"\end{tabular}"))
    rows = [line for line in lines[begin:end] if line.endswith(r"\\")]
    assert len(rows) == 1 + 2
    assert all(len(row.replace(r"\&", "").split("&")) == 3 + len(COLUMNS) for row in rows)
    assert r"labels with p $\ge$ 0.5" in lines[-1]
