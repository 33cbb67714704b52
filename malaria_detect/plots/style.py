"""The one style of all figures: colours, type, axes, and how numbers are written."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

CLASS_COLORS = {"Parasitized": "#D55E00", "Uninfected": "#0072B2"}
INK = "#1F2328"
QUIET_INK = "#57606A"
GRID = "#D9DEE3"
BAND = "#F1F3F5"
# Of what is neither class; the other line of a figure is ink.
GREEN = "#009E73"

# Behind text, to keep lines out of it.
GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}

# At 5.4 inches (389 pt) 12 pt are 11 px on a page 360 px wide.
WIDTH = 5.4
TEXT = 12.0

P = ParamSpec("P")


def drawn(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function independent of the reader's own matplotlib settings, and of what is done to its figure.

    A constrained layout moves a little further with every drawing, and with the resolution. It is therefore worked
    out here, once: the same numbers give the same figure, looked at before or not.
    """

    @wraps(draw)
    def laid_out(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context("default"):
            figure = draw(*args, **kwargs)
            layout = figure.get_layout_engine()
            if layout is not None:
                layout.execute(figure)
                figure.set_layout_engine("none")
        return figure

    return laid_out


def new_figure(height: float) -> Figure:
    """Make an empty figure of the usual width, `height` in inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")


def style_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Quiet axes; the y label lies above its axis, where it is read without turning the head."""
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK)
    axes.set_title(y_label, loc="left", fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, labelcolor=QUIET_INK, color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET_INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def note(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], side: str = "left"
) -> None:
    """Write one line of text at an offset in points, on a white ground that keeps lines out of it."""
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        ha=side,
        fontsize=TEXT,
        color=INK,
        bbox=GROUND,
        annotation_clip=False,
    )


def spread(wanted: Mapping[str, float], apart: float) -> dict[str, float]:
    """Heights for labels: as near to the wanted ones as can be (least squares) when all must lie `apart`.

    Of two that want the same height, the first stands above.

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
    """Mix a colour into white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))


def with_commas(value: float, _: int | None) -> str:
    """Write a tick in whole numbers with commas."""
    return f"{value:,.0f}"


def as_power(value: float, _: int | None = None) -> str:
    """Write a tick as a power of ten: 1e-3."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
