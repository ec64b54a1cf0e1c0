"""figures.py: what is drawn, in which order, for both themes."""

import base64
import xml.etree.ElementTree as ElementTree

import figures
import numpy as np
import pytest


def svg(uri):
    head, content = uri.split(",", 1)
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(content).decode()


@pytest.fixture
def drawn(monkeypatch):
    """The axes that a figure draws on, once per theme, in place of the picture."""
    found = []
    original = figures.dress

    def remember(axes, theme):
        original(axes, theme)
        found.append(axes)

    monkeypatch.setattr(figures, "dress", remember)
    return found


def test_running_mean_by_hand():
    values = np.array([4.0, 2.0, 6.0, 8.0])
    assert figures.smooth(values, 1).tolist() == [4, 2, 6, 8]
    assert figures.smooth(values, 3).tolist() == [4, 3, 4, pytest.approx(16 / 3)]


def test_classes_are_ordered_by_their_images_and_unknown_ones_left_out(drawn):
    gains = np.array([[1.0, -2.0, np.nan, 4.0], [3.0, -4.0, 1.0, 5.0]])
    picture = figures.class_gains(["ant", "bee", "cat", "dog"], np.array([7, 90, 8, 30]), gains)
    axes = drawn[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["bee", "dog", "ant"]
    assert [bar.get_height() for bar in axes.patches] == [-3.0, 4.5, 2.0]
    assert [text.get_text() for text in axes.texts] == ["90", "30", "7"]
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == [[-2, 4, 1], [-4, 5, 3]]
    assert "2 of 3 classes improve" in picture.alt


def test_gains_and_losses_differ_in_colour_in_both_themes(drawn):
    figures.class_gains(["ant", "bee"], np.array([2, 1]), np.array([[1.0, -1.0]]))
    for axes in drawn:
        gain, loss = (bar.get_facecolor() for bar in axes.patches)
        assert gain != loss
    assert drawn[0].patches[0].get_facecolor() != drawn[1].patches[0].get_facecolor()


def test_loss_curves_hold_every_seed(drawn):
    logs = {1: [(5, 3.0), (10, 2.0), (15, 1.0)], 2: [(5, 4.0), (10, 2.5)]}
    picture = figures.loss_curves("Stage 1", logs)
    lines = [line.get_xydata().tolist() for line in drawn[0].lines]
    assert lines[0] == [[5, 3], [10, 2], [15, 1]]
    assert lines[2] == [[5, 4], [10, 2.5]]
    assert "seed 1: 1 at 15, seed 2: 2.5 at 10" in picture.alt


def test_a_picture_is_the_same_svg_each_time():
    first, second = (figures.loss_curves("s", {1: [(1, 2.0), (2, 1.0)]}) for _ in range(2))
    assert first == second
    for uri in (first.light, first.dark):
        assert ElementTree.fromstring(svg(uri)).tag.endswith("svg")
    assert figures.LIGHT.line in svg(first.light)
    assert figures.DARK.line in svg(first.dark)
