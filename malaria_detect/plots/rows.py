"""Scores in rows, each a mark with its interval and its number (a forest plot)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import format_score
from malaria_detect.plots.style import GREEN, GROUND, INK, style_axes

# Filled marks for comparable scores, hollow ones for those of another kind of split.
FILLED: dict[str, Any] = {"marker": "o", "color": GREEN, "markersize": 8}
HOLLOW: dict[str, Any] = {"marker": "D", "color": INK, "markersize": 7, "markerfacecolor": "white"}
# Inches that a line of text needs.
LINE = 0.23


@dataclass(frozen=True)
class Row:
    """A name and its marks, one below the other; without marks, a heading for the rows below it."""

    name: str
    marks: Sequence[tuple[Estimate, dict[str, Any]]] = ()
    bold: bool = False

    @property
    def lines(self) -> float:
        """Lines of text that the row needs, and a little space."""
        return max(self.name.count("\n") + 1, len(self.marks)) + 0.35


def height_of(rows: Sequence[Row]) -> float:
    """Height of rows in inches."""
    return LINE * sum(row.lines for row in rows)


def draw_rows(
    axes: Axes,
    x_label: str,
    rows: Sequence[Row],
    write: Callable[[Estimate], str] = lambda estimate: format_score(estimate.value),
) -> None:
    """Draw rows from top to bottom; `write` gives the text to the right of each mark. NaN has text only."""
    style_axes(axes, x_label, "", grid="x")
    axes.spines["left"].set_visible(False)
    beside = axes.get_yaxis_transform()
    top, places = 0.0, []
    for row in rows:
        place = top + row.lines / 2
        top += row.lines
        weight = "bold" if row.bold else "normal"
        if row.marks:
            places.append(place)
        else:
            axes.text(0, place, row.name, transform=beside, va="center", weight="bold", bbox=GROUND)
        for level, (estimate, mark) in enumerate(row.marks, start=1):
            height = place + level - (len(row.marks) + 1) / 2
            if not np.isnan(estimate.low):
                axes.hlines(height, estimate.low, estimate.high, color=mark["color"], linewidth=2.2)
            if not np.isnan(estimate.value):
                axes.plot(estimate.value, height, **mark)
            axes.text(1.03, height, write(estimate), transform=beside, va="center", weight=weight)
    named = [row for row in rows if row.marks]
    axes.set_yticks(places, [row.name for row in named])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for label, row in zip(axes.get_yticklabels(), named, strict=True):
        label.set_fontweight("bold" if row.bold else "normal")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.margins(x=0.08)
    axes.set_ylim(top, 0)


def key_entry(meaning: str, mark: dict[str, Any]) -> Line2D:
    """Entry of a legend for a mark."""
    return Line2D([], [], linestyle="none", label=meaning, **mark)
