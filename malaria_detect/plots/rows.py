"""Scores in rows, each a mark with its interval (a forest plot)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from malaria_detect.metrics import Estimate
from malaria_detect.plots.style import GREEN, GRID, INK, TEXT, style_axes

# Filled marks for comparable scores, hollow ones for those of another kind of split.
FILLED: dict[str, Any] = {"marker": "o", "color": GREEN, "markersize": 8}
HOLLOW: dict[str, Any] = {"marker": "D", "color": INK, "markersize": 7, "markerfacecolor": "white"}


def style_rows(
    axes: Axes, x_label: str, places: Sequence[float], names: Sequence[str], bold: Sequence[bool] = ()
) -> None:
    """Give axes one named row at each place, from top to bottom."""
    style_axes(axes, x_label, "")
    axes.grid(visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for label, is_bold in zip(axes.get_yticklabels(), bold, strict=False):
        label.set_fontweight("bold" if is_bold else "normal")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.margins(x=0.08)
    axes.set_ylim(max(places) + 0.7, min(places) - 0.7)


def draw_mark(axes: Axes, estimate: Estimate, height: float, mark: dict[str, Any]) -> None:
    """Draw a score and its interval, if it has one."""
    if not np.isnan(estimate.low):
        axes.hlines(height, estimate.low, estimate.high, color=mark["color"], linewidth=2.2)
    axes.plot(estimate.value, height, **mark)


def write_beside(axes: Axes, height: float, text: str, x: float = 1.03, **look: Any) -> None:
    """Write text level with a row; `x` is a fraction of the axes' width."""
    written: dict[str, Any] = {"fontsize": TEXT, "color": INK, "va": "center"} | look
    axes.text(x, height, text, transform=axes.get_yaxis_transform(), **written)


def key_entry(meaning: str, mark: dict[str, Any]) -> Line2D:
    """Entry of a legend for a mark."""
    return Line2D([], [], linestyle="none", label=meaning, **mark)
