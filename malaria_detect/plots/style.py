"""The style of all figures: colours, type, axes, labels and legends."""

import textwrap
from collections.abc import Mapping
from typing import Any, Literal

import matplotlib.style
import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import PercentFormatter

CLASS_COLORS = {"Parasitized": "#D55E00", "Uninfected": "#0072B2"}
INK = "#1F2328"
QUIET_INK = "#57606A"
GRID_COLOR = "#D9DEE3"
BAND = "#F1F3F5"
# For what belongs to neither class.
GREEN = "#009E73"
# Behind text, to keep lines out of it.
GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}

# In inches and points. At this width, 12 pt are 11 px on a page 360 px wide.
WIDTH = 5.4
TEXT = 12.0

WHOLE_PERCENT = PercentFormatter(1, decimals=0, symbol="\N{NO-BREAK SPACE}%")
_LOOK: dict[str, Any] = {
    "font.size": TEXT,
    "text.color": INK,
    "figure.labelsize": TEXT,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET_INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": TEXT,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.handlelength": 1.4,
    "legend.borderpad": 0.2,
    "legend.borderaxespad": 0.3,
}
# Decorates every drawing function, so that the reader's own matplotlib settings do not change a figure.
default_style = matplotlib.style.context(["default", _LOOK])


def new_figure(height: float) -> Figure:
    """An empty figure of the usual width, `height` in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")


def style_axes(axes: Axes, x_label: str, y_label: str, grid: Literal["x", "y", "both"] = "y") -> None:
    """Give axes the usual look; the y label is written above the axis, so that it is horizontal."""
    axes.set_xlabel(x_label)
    axes.set_title(y_label)
    # Not in the style above: ticks are made when they are drawn, under the reader's settings.
    axes.tick_params(labelsize=TEXT, labelcolor=QUIET_INK, color=GRID_COLOR)
    axes.grid(axis=grid, color=GRID_COLOR, linewidth=0.8)


def note(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], side: str = "left"
) -> None:
    """Write one line of text beside a point, at an offset in points."""
    look: dict[str, Any] = {"ha": side, "bbox": GROUND, "annotation_clip": False}
    axes.annotate(text, point, offset, textcoords="offset points", **look)


def spread(wanted: Mapping[str, float], apart: float) -> dict[str, float]:
    """Heights for labels, at least `apart` from each other and as close to the wanted ones as possible.

    Examples
    --------
    >>> spread({"a": 1.0, "b": 1.0, "c": 9.0}, apart=2.0)
    {'b': 0.0, 'a': 2.0, 'c': 9.0}
    """
    names = sorted(wanted, key=lambda name: wanted[name], reverse=True)[::-1]
    steps = apart * np.arange(len(names))
    heights = scipy.optimize.isotonic_regression(np.array([wanted[name] for name in names]) - steps).x + steps
    return dict(zip(names, heights.tolist(), strict=True))


def fold(text: str, width: float) -> str:
    """A text broken into lines of at most `width` points."""
    font = FontProperties(size=TEXT)
    parts = text.split("\n")
    lines = parts
    for characters in range(max(map(len, parts)), 1, -1):
        lines = [line for part in parts for line in textwrap.wrap(part, characters)]
        widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines]
        if max(widths, default=0) <= width:
            break
    return "\n".join(lines)


def blend(color: str, strength: float) -> tuple[float, ...]:
    """A colour mixed into white; strength 0 is white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))
