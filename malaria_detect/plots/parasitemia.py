"""Figures of what a cell classifier means for a slide."""

from collections.abc import Mapping, Sequence
from math import floor, isnan, log10

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from malaria_detect.metrics import parasitemia as slide
from malaria_detect.metrics.formatting import format_percent
from malaria_detect.metrics.parasitemia import DetectionLimit
from malaria_detect.plots.style import GREEN, GRID, INK, QUIET_INK, TEXT, drawn, new_figure, style_axes

# True parasitemia: the lowest that a microscopist finds among 10,000 cells, to far beyond severe malaria.
_LOWEST, _HIGHEST = 1e-4, 0.3
# The operating points; Okabe and Ito's reddish purple beside ink and green.
# Dashed over solid: both are seen where two curves run together.
_LINES = ((INK, "-"), (GREEN, (0, (4, 2))), ("#CC79A7", "-"), (QUIET_INK, (0, (1, 1))))


@drawn
def apparent_parasitemia(points: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw which share of a slide's cells is called parasitized, over the share that is.

    Both axes are logarithmic. To the left each curve runs level: below that floor, which the false positives make, a
    slide with parasites reads like one without.

    Parameters
    ----------
    points : dict of str to (float, float), not empty
        (Sensitivity, specificity) at each operating point, by its name.

    Raises
    ------
    ValueError
        Where there are no points.
    """
    if not points:
        raise ValueError("Apparent parasitemia needs at least one operating point; there is none.")
    figure = new_figure(4.8)
    axes = figure.subplots()
    style_axes(axes, "cells that are parasitized (log scale)", "cells called parasitized (log scale)")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=(_LOWEST, _HIGHEST), ylim=(_LOWEST, 1))
    for axis in (axes.xaxis, axes.yaxis):
        _percent_ticks(axis)
    true = np.geomspace(_LOWEST, _HIGHEST, 121)
    axes.plot(true, true, color=QUIET_INK, linewidth=1.2, linestyle=":", label="as it is")
    axes.text(2.2e-3, 1.1e-3, "as it is", fontsize=TEXT, color=QUIET_INK)
    for place, (name, (sensitivity, specificity)) in enumerate(points.items()):
        color, style = _LINES[place % len(_LINES)]
        called = [slide.apparent_parasitemia(share, sensitivity, specificity) for share in true.tolist()]
        axes.plot(true, called, color=color, linestyle=style, linewidth=2.2, label=name)
        # In a corner that no curve enters: two floors may lie so close that no label fits between them.
        height = 0.95 - 0.07 * place
        axes.plot(
            [0.03, 0.09], [height] * 2, color=color, linestyle=style, linewidth=2.2, transform=axes.transAxes
        )
        text = f"{name}: a healthy slide reads {_share(1 - specificity)}"
        axes.text(0.11, height, text, va="center", transform=axes.transAxes, fontsize=TEXT, color=INK)
    return figure


@drawn
def detection_limits(limits: Mapping[str, Sequence[DetectionLimit]]) -> Figure:
    """Draw the lowest parasitemia that is told from a healthy slide, for each number of cells counted.

    Parameters
    ----------
    limits : dict of str to sequence of DetectionLimit, not empty
        Limits for growing numbers of cells at each operating point, by its name.

    Raises
    ------
    ValueError
        Where there are no limits.
    """
    rows = [(name, limit) for name, found in limits.items() for limit in found]
    if not rows:
        raise ValueError("The limits of detection cannot be drawn: there are none.")
    figure = new_figure(1.1 + 0.24 * (len(rows) + 1.4 * len(limits)))
    axes = figure.subplots()
    style_axes(axes, "lowest parasitemia told from none (log scale)", "")
    axes.grid(visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    known = np.log10([limit.limit for _, limit in rows if limit.limit > 0] or [0.1])
    # Whole decades, and a little more, so that no mark sits on the edge.
    axes.set(xscale="log", xlim=(10 ** np.floor(known.min()) / 1.3, 1.3 * 10 ** np.ceil(known.max())))
    _percent_ticks(axes.xaxis)
    height, places, names = 0.0, [], []
    beside = axes.get_yaxis_transform()
    for name, found in limits.items():
        axes.text(0, height, name, va="center", fontsize=TEXT, weight="bold", color=INK, transform=beside)
        for limit in found:
            height += 1
            places.append(height)
            names.append(f"{limit.counted:,} cells")
            if not isnan(limit.limit):
                axes.plot(limit.limit, height, marker="o", markersize=8, color=GREEN, label="limit")
            text = "none" if isnan(limit.limit) else _share(limit.limit)
            axes.text(1.03, height, text, va="center", fontsize=TEXT, color=INK, transform=beside)
        height += 1.4
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(height - 0.7, -0.8)
    return figure


def _percent_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis of shares at 0.01 %, 0.1 %, 1 %, 10 % and 100 %."""
    low, high = axis.get_view_interval()
    ticks = [10.0**power for power in range(-6, 1) if low <= 10.0**power <= high]
    axis.set_ticks(ticks, [f"{100 * tick:.4g} %" for tick in ticks])
    axis.set_ticks([], minor=True)


def _share(share: float) -> str:
    """Write a share in percent with two digits that count."""
    return format_percent(share, max(0, 1 - floor(log10(100 * share))) if share > 0 else 0)
