"""What the errors of a cell classifier mean for the parasitemia of a slide."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import NO_BREAK, format_parasitemia
from malaria_detect.metrics.parasitemia import DetectionLimit, apparent_parasitemia
from malaria_detect.plots.rows import FILLED, Row, draw_rows, height_of
from malaria_detect.plots.style import GREEN, INK, QUIET_INK, default_style, new_figure, style_axes

# True parasitemia, from one parasitized cell in 10,000 to far beyond severe malaria.
_LOWEST, _HIGHEST = 1e-4, 0.3
# One for each operating point; dashed over solid, so that both are seen if two curves coincide.
_LINES = ((INK, "-"), (GREEN, (0, (4, 2))), ("#CC79A7", "-"), (QUIET_INK, (0, (1, 1))))


@default_style
def parasitemia_curves(points: Mapping[str, tuple[float, float]]) -> Figure:
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
        raise ValueError("Curves of parasitemia need at least one operating point.")
    figure = new_figure(4.6)
    axes = figure.subplots()
    style_axes(axes, "true parasitemia (log scale)", "cells called parasitized (log scale)", grid="both")
    axes.set(xscale="log", yscale="log", xlim=(_LOWEST, _HIGHEST), ylim=(_LOWEST, 3))
    for axis in (axes.xaxis, axes.yaxis):
        _percent_ticks(axis)
    true = np.geomspace(_LOWEST, _HIGHEST, 121)
    for (name, (sensitivity, specificity)), (color, style) in zip(points.items(), _LINES, strict=False):
        called = [apparent_parasitemia(share, sensitivity, specificity) for share in true.tolist()]
        label = f"{name}: {format_parasitemia(1 - specificity)} without parasites"
        axes.plot(true, called, color=color, linestyle=style, linewidth=2.2, label=label)
    axes.plot(true, true, color=QUIET_INK, linewidth=1.2, linestyle=":", label="without errors")
    axes.legend(loc="upper left")
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
    found = [one.limit for of_point in limits.values() for one in of_point]
    if not found:
        raise ValueError("There are no limits of detection to draw.")
    rows = []
    for name, of_point in limits.items():
        rows.append(Row(name))
        rows += [
            Row(f"{one.counted:,} cells", [(Estimate(one.limit, np.nan, np.nan), FILLED)]) for one in of_point
        ]
    figure = new_figure(0.9 + height_of(rows))
    axes = figure.subplots()
    draw_rows(
        axes,
        "limit of detection (parasitemia, log scale)",
        rows,
        lambda limit: "none" if np.isnan(limit.value) else format_parasitemia(limit.value),
    )
    known = np.log10([limit for limit in found if limit > 0] or [0.1])
    # Whole decades, and a little more, so that no mark is on the edge.
    axes.set(xscale="log", xlim=(10 ** np.floor(known.min()) / 1.3, 1.3 * 10 ** np.ceil(known.max())))
    _percent_ticks(axes.xaxis)
    return figure


def _percent_ticks(axis: Axis) -> None:
    """Percentages at the powers of ten of a logarithmic axis of shares, up to 100 %."""
    axis.set_major_locator(LogLocator(numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda share, _: f"{100 * share:.4g}{NO_BREAK}%" if share <= 1 else "")
    )
