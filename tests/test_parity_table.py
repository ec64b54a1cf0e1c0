"""docs/layers.md: made by tests/parity_table.py, and made again when layers or cases change."""

from collections import Counter
from pathlib import Path

import pytest

import caffe
from tests import evidence, parity_table
from tests.layer_checks import GOLDEN

PAGE = Path(__file__).parent.parent / "docs" / "layers.md"


def rows() -> dict[str, list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").replace("\\|", "/").split(" | ") for line in lines if "|" in line]
    return {row[0]: row[1:] for row in cells if row[0] in caffe.layer_type_list()}


def test_every_layer_type_has_a_row_with_tests():
    assert list(rows()) == caffe.layer_type_list(), "run make docs"
    assert [name for name, row in rows().items() if int(row[2]) == 0] == []


def test_every_golden_case_is_in_the_table():
    named = "".join(row[0] for row in rows().values())
    for tree in ("mlic", "pspnet", "data"):
        for case in (GOLDEN / tree).glob("*.npz"):
            assert f"{tree}/{case.stem} (" in named, "run make docs"


def test_a_row_gives_the_worst_errors(monkeypatch):
    golden = [
        evidence.Golden("Swish", "mlic/b", 2e-7, 3e-6),
        evidence.Golden("Swish", "mlic/a", 1e-8, None),
        evidence.Golden("TanH", "mlic/c", 1e-9, 0.0),
    ]
    gradients = [evidence.Gradient("Swish", 4e-10), evidence.Gradient("Swish", 5e-11)]
    monkeypatch.setattr(evidence, "GOLDEN", golden)
    monkeypatch.setattr(evidence, "GRADIENTS", gradients)
    exports = [evidence.Export("Swish", "onnx", 5e-7), evidence.Export("Swish", "onnx", 3e-8)]
    monkeypatch.setattr(evidence, "EXPORTS", exports)
    page = parity_table.render(Counter(swish=7))
    want = (
        "| Swish | mlic/a (1e-08 \\| –)<br>mlic/b (2e-07 \\| 3e-06) | 4e-10 (2) | 7 | 5e-07 | – |"
    )
    assert want in page.splitlines()
    assert "| ReLU | – | – | 0 | – | – |" in page.splitlines()


@pytest.mark.parametrize("text", ["Written by `make docs`", "do not edit"])
def test_the_page_says_where_it_comes_from(text):
    assert text in PAGE.read_text(encoding="utf-8")
