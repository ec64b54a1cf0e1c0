"""The report's figures as SVG data URIs, each drawn once for a light and once for a dark page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PIXELS_PER_INCH = 96
FONT = 9


@dataclass(frozen=True)
class Theme:
    """Colours of one page theme: text, secondary text, grid, a line, a gain and a loss."""

    ink: str
    soft: str
    grid: str
    line: str
    gain: str
    loss: str


LIGHT = Theme("#1c2430", "#5b6675", "#dfe4ea", "#2f5fb3", "#1f7a5c", "#b8482f")
DARK = Theme("#e8ecf2", "#9aa6b5", "#333c48", "#8ab0f5", "#5cc4a0", "#f0927a")


@dataclass(frozen=True)
class Picture:
    """A figure for the page: both data URIs, its natural width in CSS pixels and what it shows."""

    light: str
    dark: str
    width: int
    alt: str


def data_uri(content: bytes, mime: str) -> str:
    """`data:<mime>;base64,...`, so that the page needs no second file."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def dress(axes: Axes, theme: Theme) -> None:
    """Theme colours, a horizontal grid behind the marks and no frame."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.soft)
    axes.tick_params(colors=theme.soft, labelsize=FONT, length=0, pad=4)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(theme.ink)
        label.set_fontsize(FONT)


def render(draw: Callable[[Axes, Theme], None], size: tuple[float, float], alt: str) -> Picture:
    """Call `draw(axes, theme)` for both themes; size in inches."""
    found = []
    for theme in (LIGHT, DARK):
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        axes = figure.subplots()
        draw(axes, theme)
        dress(axes, theme)
        out = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "report"}):
            figure.savefig(out, format="svg", metadata={"Date": None})
        found.append(data_uri(out.getvalue(), "image/svg+xml"))
    return Picture(*found, round(size[0] * PIXELS_PER_INCH), alt)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Running mean over the last `window` values (fewer at the start)."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - window, 0)
    return (total[stop] - total[start]) / (stop - start)


def loss_curves(stage: str, logs: Mapping[int, Sequence[tuple[int, float]]]) -> Picture:
    """One stage's training loss over iterations: each seed's records pale, its running mean bold.

    logs: seed -> (iteration, loss) records in order.
    """

    def draw(axes: Axes, theme: Theme) -> None:
        for records in logs.values():
            iterations, losses = np.array(records, float).T
            window = max(1, len(losses) // 20)
            axes.plot(iterations, losses, color=theme.line, linewidth=0.7, alpha=0.3)
            axes.plot(iterations, smooth(losses, window), color=theme.line, linewidth=1.5)
        axes.set_xlabel("iteration")
        axes.set_ylabel("training loss")
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", nbins=5)

    last = {seed: records[-1] for seed, records in logs.items()}
    ends = ", ".join(f"seed {s}: {loss:.4g} at {i}" for s, (i, loss) in last.items())
    return render(draw, (3.6, 2.3), f"Training loss of {stage} over iterations; last {ends}")


def class_gains(names: Sequence[str], images: np.ndarray, gains: np.ndarray) -> Picture:
    """Change of AP per class, classes from the most to the fewest training images.

    names: K classes; images (K,) training images with the class, written above the bars;
    gains (seeds, K): AP with - AP without distillation in points, nan where AP is unknown;
    the bar is the mean over seeds, the dots are the seeds.
    """
    order = np.argsort(-images, kind="stable")
    order = order[~np.isnan(gains).any(axis=0)[order]]
    names, images, gains = [names[k] for k in order], images[order], gains[:, order]
    mean, place = gains.mean(axis=0), np.arange(len(order))

    def draw(axes: Axes, theme: Theme) -> None:
        axes.bar(place, mean, 0.7, color=[theme.gain if m >= 0 else theme.loss for m in mean])
        if len(gains) > 1:
            for seed in gains:
                axes.plot(place, seed, "o", markersize=2.6, color=theme.ink, alpha=0.65)
        axes.axhline(0, color=theme.soft, linewidth=0.8)
        axes.margins(x=0.02, y=0.16)
        for x, count, top in zip(place, images, np.maximum(gains.max(axis=0), 0), strict=True):
            axes.annotate(
                f"{count:,}", (x, top), (0, 3), textcoords="offset points",
                ha="center", va="bottom", fontsize=FONT - 2, color=theme.soft,
                rotation=90 if images.max() > 9999 else 0,
            )  # fmt: skip
        axes.set_xticks(place, names, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_ylabel("change of AP (points)")

    better = int((mean > 0).sum())
    alt = f"Change of AP per class by distillation: {better} of {len(mean)} classes improve"
    return render(draw, (0.42 * len(order) + 1.1, 3.1), alt)
