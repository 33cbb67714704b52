"""What the errors of a cell classifier mean for the parasitemia of a slide."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from malaria_detect.metrics import parasitemia as slide
from malaria_detect.metrics.formatting import NO_BREAK, format_parasitemia
from malaria_detect.metrics.parasitemia import DetectionLimit
from malaria_detect.plots.rows import FILLED, style_rows, write_beside
from malaria_detect.plots.style import (
    GREEN,
    GRID,
    INK,
    QUIET_INK,
    default_style,
    legend,
    new_figure,
    style_axes,
)

# True parasitemia, from one parasitized cell in 10,000 to far beyond severe malaria.
_LOWEST, _HIGHEST = 1e-4, 0.3
# One for each operating point; dashed over solid, so that both are seen if two curves coincide.
_LINES = ((INK, "-"), (GREEN, (0, (4, 2))), ("#CC79A7", "-"), (QUIET_INK, (0, (1, 1))))


@default_style
def apparent_parasitemia(points: Mapping[str, tuple[float, float]]) -> Figure:
    """Figure of the share of cells called parasitized against the true parasitemia, on logarithmic axes.

    At low parasitemia each curve is level: false positives outnumber parasites there.

    Parameters
    ----------
    points : dict of str to (float, float), not empty
        Sensitivity and specificity at each operating point.

    Raises
    ------
    ValueError
        If there are no points.
    """
    if not points:
        raise ValueError("Apparent parasitemia needs at least one operating point.")
    figure = new_figure(4.6)
    axes = figure.subplots()
    style_axes(axes, "true parasitemia (log scale)", "cells called parasitized (log scale)")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=(_LOWEST, _HIGHEST), ylim=(_LOWEST, 3))
    for axis in (axes.xaxis, axes.yaxis):
        _percent_ticks(axis)
    true = np.geomspace(_LOWEST, _HIGHEST, 121)
    for (name, (sensitivity, specificity)), (color, style) in zip(points.items(), _LINES, strict=False):
        called = [slide.apparent_parasitemia(share, sensitivity, specificity) for share in true.tolist()]
        label = f"{name}: {format_parasitemia(1 - specificity)} without parasites"
        axes.plot(true, called, color=color, linestyle=style, linewidth=2.2, label=label)
    axes.plot(true, true, color=QUIET_INK, linewidth=1.2, linestyle=":", label="without errors")
    legend(axes, "upper left")
    return figure


@default_style
def detection_limits(limits: Mapping[str, Sequence[DetectionLimit]]) -> Figure:
    """Figure of the limit of detection for each number of cells counted.

    Parameters
    ----------
    limits : dict of str to sequence of DetectionLimit, not empty
        Limits for growing numbers of cells at each operating point.

    Raises
    ------
    ValueError
        If there are no limits.
    """
    rows = [(name, limit) for name, found in limits.items() for limit in found]
    if not rows:
        raise ValueError("There are no limits of detection to draw.")
    headings = list(limits)
    # Every operating point starts with a line for its name.
    places = [place + 1 + 1.4 * headings.index(name) for place, (name, _) in enumerate(rows)]
    figure = new_figure(1.0 + 0.24 * (max(places) + 1.4))
    axes = figure.subplots()
    names = [f"{limit.counted:,} cells" for _, limit in rows]
    style_rows(axes, "limit of detection (parasitemia, log scale)", places, names)
    known = np.log10([limit.limit for _, limit in rows if limit.limit > 0] or [0.1])
    # Whole decades, and a little more, so that no mark is on the edge.
    axes.set(xscale="log", xlim=(10 ** np.floor(known.min()) / 1.3, 1.3 * 10 ** np.ceil(known.max())))
    axes.set_ylim(max(places) + 0.7, -0.8)
    _percent_ticks(axes.xaxis)
    written = set()
    for place, (name, limit) in zip(places, rows, strict=True):
        if name not in written:
            write_beside(axes, place - 1, name, x=0, weight="bold")
            written.add(name)
        if not np.isnan(limit.limit):
            axes.plot(limit.limit, place, **FILLED)
        write_beside(axes, place, "none" if np.isnan(limit.limit) else format_parasitemia(limit.limit))
    return figure


def _percent_ticks(axis: Axis) -> None:
    """Percentages at the powers of ten of a logarithmic axis of shares, up to 100 %."""
    axis.set_major_locator(LogLocator(numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda share, _: f"{100 * share:.4g}{NO_BREAK}%" if share <= 1 else "")
    )
