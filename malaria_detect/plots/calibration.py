"""Figures of what a probability is worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from malaria_detect.metrics import ReliabilityBin
from malaria_detect.plots.style import BAND, GREEN, INK, QUIET_INK, TEXT, drawn, new_figure, style_axes

# Where the stretched axes may end, and the ticks they have. What lies beyond stands in a band of its own.
_ENDS = (3e-3, 3e-4, 3e-5)
_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
# Width of that band, and the height of its middle, in logits past the end.
_BAND = 1.2
# Of the length of an axis: as near as two ticks may come.
_APART = 0.085


@drawn
def reliability_diagram(before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin]) -> Figure:
    """Draw which share of the cells is labelled parasitized where the model gives a probability, raw and calibrated.

    A good model gives nearly all cells a probability near 0 or 1. Both axes are therefore log-odds with probabilities
    written beside them: the step from 0.1 % to 1 % is as wide as the one from 1 % to 9 %. Shares of exactly 0 and
    100 %, which have no log-odds, stand in shaded bands at the ends.

    Parameters
    ----------
    before, after : sequence of ReliabilityBin, not empty
        Of `malaria_detect.metrics.reliability`, with the network's own probabilities and with those after
        temperature scaling.

    Raises
    ------
    ValueError
        Where there are no bins.
    """
    if not before or not after:
        raise ValueError("A reliability diagram needs bins before and after calibration; there are none.")
    figure = new_figure(5.5)
    axes = figure.subplots()
    style_axes(axes, "probability of parasitized that the model gives (%)", "share labelled parasitized (%)")
    axes.grid(axis="x", color=BAND, linewidth=0.8)
    end = _stretch(axes, [*before, *after])
    edge = _edge(end)
    axes.plot(
        [edge, 1 - edge], [edge, 1 - edge], color=QUIET_INK, linewidth=1, linestyle=":", label="agreement"
    )
    series = (
        ("raw, as the network gives it", before, INK, "white", "D"),
        ("calibrated", after, GREEN, GREEN, "o"),
    )
    for line, (name, bins, color, fill, marker) in enumerate(series):
        x, y, low, high = (
            np.array([getattr(entry, field) for entry in bins], dtype=np.float64).clip(edge, 1 - edge)
            for field in ("mean_probability", "share", "low", "high")
        )
        axes.vlines(x, low, high, color=color, linewidth=1.2, alpha=0.6)
        mark: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 6, "color": color}
        axes.plot(x, y, label=name, markerfacecolor=fill, **mark)
        place = 0.87 - 0.065 * line
        axes.plot(0.12, place, label="key", markerfacecolor=fill, transform=axes.transAxes, **mark)
        axes.text(0.155, place, name, va="center", transform=axes.transAxes, fontsize=TEXT, color=INK)
    cells = [entry.cells for entry in after]
    counted = f"{min(cells):,}" if min(cells) == max(cells) else f"{min(cells):,} to {max(cells):,}"
    for line, text in enumerate(
        (f"a dot: {counted} cells,", "with its 95 % interval;", "dotted: both agree")
    ):
        axes.text(
            0.92,
            0.27 - 0.065 * line,
            text,
            ha="right",
            va="center",
            transform=axes.transAxes,
            fontsize=TEXT,
            color=QUIET_INK,
        )
    return figure


def _stretch(axes: Axes, bins: Sequence[ReliabilityBin]) -> float:
    """Make both axes log-odds that reach as far as the bins do; return the probability at which they end."""
    shares = np.array([(entry.mean_probability, entry.share) for entry in bins]).ravel()
    shares = np.minimum(shares, 1 - shares)
    furthest = shares[shares > 0].min(initial=0.5)
    end = next((end for end in _ENDS if end <= furthest), _ENDS[-1])
    limit = _BAND - float(_log_odds(end))
    edge = _edge(end)
    clear = float(_probability(_log_odds(edge) + 2 * limit * _APART))
    inside = [tick for tick in _TICKS if clear <= tick <= 1 - clear]
    ticks = [edge, *inside, 1 - edge]
    labels = ["0", *(f"{100 * tick:.4g}" for tick in inside), "100"]
    axes.set_xscale("function", functions=(_log_odds, _probability))
    axes.set_yscale("function", functions=(_log_odds, _probability))
    ends = (float(_probability(-limit)), float(_probability(limit)))
    axes.set(xlim=ends, ylim=ends, box_aspect=1)
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    for low, high in ((ends[0], end), (1 - end, ends[1])):
        axes.axhspan(low, high, color=BAND, zorder=0, linewidth=0)
        axes.axvspan(low, high, color=BAND, zorder=0, linewidth=0)
    return end


def _edge(end: float) -> float:
    """Where 0 is drawn: the middle of the band past `end`."""
    return float(_probability(_log_odds(end) - _BAND / 2))


def _log_odds(probability: ArrayLike) -> NDArray[np.float64]:
    share = np.asarray(probability, dtype=np.float64).clip(1e-12, 1 - 1e-12)
    return np.log(share / (1 - share))


def _probability(log_odds: ArrayLike) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.asarray(log_odds, dtype=np.float64)))
