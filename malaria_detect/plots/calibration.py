"""Reliability diagram: how often cells are parasitized for each predicted probability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit

from malaria_detect.metrics import ReliabilityBin
from malaria_detect.plots.rows import FILLED, HOLLOW
from malaria_detect.plots.style import (
    BAND,
    CLASS_COLORS,
    QUIET_INK,
    default_style,
    new_figure,
    style_axes,
)

# Where the axes may end, and the lowest tick that has room there.
_ENDS = ((3e-3, 0.01), (3e-4, 0.001), (3e-5, 0.001))
_TICKS = np.array((0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999))
_MARKS: tuple[dict[str, Any], ...] = (
    HOLLOW,
    FILLED,
    FILLED | {"color": CLASS_COLORS["Uninfected"], "marker": "s"},
    FILLED | {"color": CLASS_COLORS["Parasitized"], "marker": "^"},
)
# Width in logits of the bands for shares of exactly 0 and 1.
_BAND = 1.2


@default_style
def reliability_diagram(series: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Reliability diagram of one or more models or groups of cells.

    Good models give nearly all cells a probability close to 0 or 1, so both axes are log-odds, labelled with
    probabilities. Shares of exactly 0 and 1, which have no log-odds, are drawn in shaded bands at the ends.

    Parameters
    ----------
    series : mapping of str to sequence of ReliabilityBin
        One to four series of bins by name, see `malaria_detect.metrics.reliability_bins`; such as raw and calibrated.

    Raises
    ------
    ValueError
        If there are no series or too many, or one has no bins.
    """
    if not 1 <= len(series) <= len(_MARKS) or not all(series.values()):
        raise ValueError(f"A reliability diagram needs one to {len(_MARKS)} series with bins.")
    figure = new_figure(5.5)
    axes = figure.subplots()
    style_axes(
        axes, "predicted probability of parasitized (%)", "cells labelled parasitized (%)", grid="both"
    )
    edge = _stretch(axes, [entry for bins in series.values() for entry in bins])
    for mark, (name, bins) in zip(_MARKS, series.items(), strict=False):
        x, y, low, high = (
            np.array([getattr(entry, field) for entry in bins], dtype=np.float64).clip(edge, 1 - edge)
            for field in ("mean_probability", "share", "low", "high")
        )
        axes.vlines(x, low, high, color=mark["color"], linewidth=1.2, alpha=0.6)
        axes.plot(x, y, **(mark | {"linestyle": "none", "markersize": 6, "label": name}))
    axes.plot(
        [edge, 1 - edge], [edge, 1 - edge], color=QUIET_INK, linewidth=1, linestyle=":", label="perfect"
    )
    axes.legend(loc="upper left", bbox_to_anchor=(0.08, 0.93))
    cells = sorted({entry.cells for bins in series.values() for entry in bins})
    told = f"{cells[0]:,}" if len(cells) == 1 else f"{cells[0]:,} to {cells[-1]:,}"
    told = f"each dot: {told} cells,\nwith 95 % interval"
    axes.text(0.92, 0.09, told, transform=axes.transAxes, ha="right", va="bottom", color=QUIET_INK)
    return figure


def _stretch(axes: Axes, bins: Sequence[ReliabilityBin]) -> float:
    """Make both axes log-odds that reach as far as the bins; return the probability at which 0 is drawn."""
    shares = np.array([(entry.mean_probability, entry.share) for entry in bins]).ravel()
    shares = np.minimum(shares, 1 - shares)
    furthest = shares[shares > 0].min(initial=0.5)
    end, lowest = next((one for one in _ENDS if one[0] <= furthest), _ENDS[-1])
    edge, limit = (float(expit(logit(end) - part * _BAND)) for part in (0.5, 1))
    inside = _TICKS[(lowest <= _TICKS) & (1 - lowest >= _TICKS)]
    ticks = [edge, *inside, 1 - edge]
    labels = ["0", *(f"{100 * tick:.4g}" for tick in inside), "100"]
    axes.set(xscale="logit", yscale="logit", xlim=(limit, 1 - limit), ylim=(limit, 1 - limit), box_aspect=1)
    for axis, span in ((axes.xaxis, axes.axvspan), (axes.yaxis, axes.axhspan)):
        axis.set_ticks(ticks, labels)
        axis.set_ticks([], minor=True)
        for low, high in ((limit, end), (1 - end, 1 - limit)):
            span(low, high, color=BAND, zorder=0, linewidth=0)
    return edge
