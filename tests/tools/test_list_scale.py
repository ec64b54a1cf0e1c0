"""list_scale.py: a list in the released format, its steps each in a process, what they took."""

import json

import list_scale
import numpy as np
import pytest
from convert_list import parse_line
from import_proposals import best_first

from python_layers.prepared_set import PreparedSet


def test_steps_are_measured_in_processes_of_their_own(tmp_path, capsys):
    assert list_scale.main(["--lines", "7", "--boxes", "3", "--folder", str(tmp_path)]) == 0
    said, warned = capsys.readouterr()
    first, *steps, _ = said.splitlines()
    assert first.startswith("7 lines x 3 proposals: list ")
    assert [line[:15].strip() for line in steps] == list(list_scale.STEPS)
    assert "too much" not in said
    need = list_scale.bytes_needed(7, 3)
    assert f"takes up to {need:,} bytes" in warned
    assert list(tmp_path.iterdir()) == []


def test_the_list_is_of_the_released_format(tmp_path):
    list_scale.write_list(tmp_path, lines=5, boxes=4)
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) * 5 <= list_scale.bytes_needed(5, 4)
    for number, line in enumerate(lines):
        image, labels, boxes = parse_line(line, 80, "here")
        assert image == f"{number:06}.png"
        assert (tmp_path / "images" / image).is_file()
        assert boxes.shape == (4, 5)
        assert set(labels) <= {0, 1}
        assert (boxes[:, :2] <= boxes[:, 2:4]).all()
        assert 0 <= boxes.min() <= boxes.max() <= 671
        np.testing.assert_array_equal(boxes, best_first(boxes))
    list_scale.import_set(tmp_path)
    prepared = PreparedSet(tmp_path / "set")
    assert (len(prepared), prepared.boxes_stored) == (5, 4)
    np.testing.assert_allclose(prepared.proposals(4, 4)[:, 4], boxes[:, 4])


def test_too_little_room_is_said_instead_of_tried(tmp_path, monkeypatch, capsys):
    usage = type("Usage", (), {"free": 99})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert list_scale.main(["--folder", str(tmp_path), "--json"]) == 1
    need = list_scale.bytes_needed(82_081, 500)
    assert 2e9 < need < 4e9
    why = f"{tmp_path} has 99 of {need:,} bytes"
    assert json.loads(capsys.readouterr().out) == {"not_measured": why}
    assert list_scale.main(["--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith(f"list of proposals: {why}\n")


@pytest.mark.parametrize(("name", "seconds", "peak", "good"), [
    ("open the set", 1.9, 2**31 - 1, True),
    ("open the set", 2.1, 2**30, False),
    ("import the list", 99, 2**31 - 1, True),
    ("import the list", 99, 2**31, False),
])  # fmt: skip
def test_limits(name, seconds, peak, good, tmp_path, monkeypatch, capsys):
    def measured(step, folder):
        (folder / "set").mkdir(exist_ok=True)
        took = (seconds, peak) if step == name else (0.1, 5)
        return dict(zip(("seconds", "peak_bytes"), took, strict=True))

    monkeypatch.setattr(list_scale, "measured", measured)
    record = list_scale.measure(3, 2, tmp_path)
    assert {step for step in record["steps"] if not record["steps"][step]["good"]} == (
        set() if good else {name}
    )
    list_scale.show(record)
    assert ("too much" in capsys.readouterr().out) != good


def test_a_step_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match=r"list_scale\.py: open the set: failed, see above"):
        list_scale.measured("open the set", tmp_path)
