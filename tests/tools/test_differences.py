"""Relative differences by hand, and the order of the rows."""

import math

import numpy as np
import pytest
import record_caffe
from differences import compare, first_above, sort


@pytest.fixture
def folders(tmp_path):
    """folders(ours, theirs): two recorded folders of [(kind, name, array)]."""

    def make(*sides):
        paths = []
        for number, side in enumerate(sides):
            path = tmp_path / str(number)
            path.mkdir()
            records = record_caffe.Records(str(path))
            for kind, name, array in side:
                records.add(kind, name, np.array(array, np.float32))
            records.close()
            paths.append(path)
        return paths

    return make


def one(folders, ours, theirs, kind="data", floor=1e-6):
    (row,) = compare(*folders([(kind, "x", ours)], [(kind, "x", theirs)]), floor)
    return row


@pytest.mark.parametrize(
    ("ours", "theirs", "want"),
    [
        ([[1, 2], [3, -5]], [[1, 2], [3.5, -4]], 0.25),
        ([1e-9, 0], [0, 0], 1e-3),
        ([[[3]], [[4]]], [3, 4], 0),
        (7.0, [7], 0),
        ([np.nan, 2], [np.nan, 4], 0.5),
        ([np.inf, 2], [np.inf, 4], 0.5),
        ([np.inf, 2], [-np.inf, 2], math.inf),
        ([1, np.nan], [1, 2], math.inf),
        ([1, 2], [1, np.inf], math.inf),
        ([1, 2], [1, 2, 3], math.inf),
        ([[1, 2, 3]], np.zeros((3, 2)), math.inf),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0),
    ],
)
def test_relative_difference(folders, ours, theirs, want):
    assert one(folders, ours, theirs).relative == pytest.approx(want, rel=1e-5)


def test_floor_and_shapes(folders):
    row = one(folders, [0.25, 0.5], [0.5, 0.5], floor=2.0)
    assert (row.relative, row.largest, row.shape, row.note) == (0.125, 0.5, (2,), "")
    assert row.kind == "data"


def test_says_which_shape_the_original_has(folders):
    row = one(folders, [1, 2], [[1], [2], [3]])
    assert (row.shape, row.note) == ((2,), "(3, 1) in the original")


@pytest.mark.parametrize(
    ("start", "theirs", "want"),
    [([0, 0], [3, 4], 0.2), ([1, 1], [4, 5], 0.2), ([1000, 0], [1000.5, 0], 1)],
)
def test_weights_count_by_what_the_steps_changed(folders, start, theirs, want):
    ours = np.add(theirs, [0, 1])
    sides = [
        [("weights start", ["c", 0], start), ("weights after", ["c", 0], after)]
        for after in (ours, theirs)
    ]
    (row,) = compare(*folders(*sides), 1e-6)
    assert row.name == "c[0]"
    assert row.relative == pytest.approx(want, rel=1e-5)


def test_one_side_only(folders):
    ours = [("data", "a", [1]), ("data", "a_conv_0_split_1", [1])]
    rows = compare(*folders(ours, [("data", "b", [1, 2])]), 1e-6)
    assert [(row.name, row.relative, row.note) for row in rows] == [
        ("a", math.inf, "only here"),
        ("a_conv_0_split_1", None, "only here"),
        ("b", math.inf, "only in the original"),
    ]


def test_order(folders):
    names = [
        ("data", "a"),
        ("data", "b"),
        ("gradient", "a"),
        ("gradient", "b"),
        ("data", "z_split_0"),
    ]
    ours = [(*key, [1 + value]) for key, value in zip(names, (0, 0.2, 0.5, 0.3, 0), strict=True)]
    theirs = [(*key, [1]) for key in names[:4]]
    rows = compare(*folders(ours, theirs), 1e-6)
    assert [(row.kind, row.name) for row in rows] == [
        ("data", "a"),
        ("data", "b"),
        ("data", "z_split_0"),
        ("gradient", "b"),
        ("gradient", "a"),
    ]
    first = first_above(rows, {"data": 0.1, "gradient": 0.6})
    assert (first.kind, first.name) == ("data", "b")
    differences = [row.relative for row in sort(rows, first)]
    assert differences[:4] == pytest.approx([0.2, 0.5, 0.3, 0], rel=1e-5)
    assert differences[4] is None
    assert first_above(rows, {"data": 0.6, "gradient": 0.6}) is None
    assert sort(rows, None)[0].relative == pytest.approx(0.5)
