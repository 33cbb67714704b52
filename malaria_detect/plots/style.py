"""The style of all figures: colours, type, axes, labels and legends."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.optimize import isotonic_regression

CLASS_COLORS = {"Parasitized": "#D55E00", "Uninfected": "#0072B2"}
INK = "#1F2328"
QUIET_INK = "#57606A"
GRID = "#D9DEE3"
BAND = "#F1F3F5"
# For what belongs to neither class.
GREEN = "#009E73"
# Behind text, to keep lines out of it.
GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}

# In inches and points. At this width, 12 pt are 11 px on a page 360 px wide.
WIDTH = 5.4
TEXT = 12.0

WHOLE_PERCENT = PercentFormatter(1, decimals=0, symbol="\N{NO-BREAK SPACE}%")
# Decorates every drawing function, so that the reader's own matplotlib settings do not change a figure.
default_style = matplotlib.style.context("default")


def new_figure(height: float) -> Figure:
    """An empty figure of the usual width, `height` in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")


def style_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Give axes the usual look; the y label is written above the axis, where it needs no turning of the head."""
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK)
    axes.set_title(y_label, loc="left", fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, labelcolor=QUIET_INK, color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET_INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def legend(axes: Axes, place: str, handles: Sequence[Artist] | None = None, **options: Any) -> None:
    """Explain marks and lines; without handles, all that have a label."""
    look: dict[str, Any] = {"fontsize": TEXT, "labelcolor": INK, "handlelength": 1.4, "borderpad": 0.2}
    look |= {
        "loc": place,
        "borderaxespad": 0.3,
        "facecolor": "white",
        "edgecolor": "none",
        "framealpha": 0.85,
        **options,
    }
    shown = handles or axes.get_legend_handles_labels()[0]
    axes.legend(shown, [str(one.get_label()) for one in shown], **look)


def note(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], side: str = "left"
) -> None:
    """Write one line of text beside a point, at an offset in points."""
    look: dict[str, Any] = {"ha": side, "fontsize": TEXT, "color": INK, "bbox": GROUND}
    axes.annotate(text, point, offset, textcoords="offset points", annotation_clip=False, **look)


def spread(wanted: Mapping[str, float], apart: float) -> dict[str, float]:
    """Heights for labels, at least `apart` from each other and as close to the wanted ones as possible.

    Examples
    --------
    >>> spread({"a": 1.0, "b": 1.0, "c": 9.0}, apart=2.0)
    {'b': 0.0, 'a': 2.0, 'c': 9.0}
    """
    names = sorted(wanted, key=lambda name: wanted[name], reverse=True)[::-1]
    steps = apart * np.arange(len(names))
    heights = isotonic_regression(np.array([wanted[name] for name in names]) - steps).x + steps
    return dict(zip(names, heights.tolist(), strict=True))


def blend(color: str, strength: float) -> tuple[float, ...]:
    """A colour mixed into white; strength 0 is white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))
