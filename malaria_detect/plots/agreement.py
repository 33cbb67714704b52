"""Estimated against true parasitemia: every patient is a mark."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from malaria_detect.evaluation.patient_parasitemia import PointParasitemia
from malaria_detect.metrics.agreement import Band
from malaria_detect.metrics.formatting import NO_BREAK, format_points
from malaria_detect.metrics.types import Floats
from malaria_detect.plots.rows import FILLED, HOLLOW, Row, draw_rows, height_of, key_entry
from malaria_detect.plots.style import (
    BAND,
    CLASS_COLORS,
    INK,
    QUIET_INK,
    WHOLE_PERCENT,
    default_style,
    new_figure,
    note,
    style_axes,
)

# Below this, a logarithmic axis has no room: the marks of patients without parasites are at its lower end.
_FLOOR = 1e-3
_RANGE = (_FLOOR / 1.3, 1.0)


@default_style
def bland_altman(true: ArrayLike, point: PointParasitemia) -> Figure:
    """Figure of the difference between estimated and true parasitemia, with mean and limits of agreement.

    The truth is on the x axis, not the mean of both as between two methods that err alike.

    Parameters
    ----------
    true : array, shape (patients,)
        True parasitemia, 0 to 1.
    point : PointParasitemia
        Readings of the same patients, raw and corrected.
    """
    truth, columns = np.asarray(true, float), point.columns
    both = [
        ("as counted", columns["apparent"], point.raw),
        ("corrected", columns["corrected"], point.corrected),
    ]
    reach = 1.15 * max(float(np.abs(estimate - truth).max()) for _, estimate, _ in both)
    figure = new_figure(5.6)
    together = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, (name, estimate, found) in zip(together, both, strict=True):
        style_axes(axes, "true parasitemia (log scale)", f"{name}: estimated − true, percentage points")
        axes.set(xscale="log", xlim=_RANGE, ylim=(-reach, reach))
        _label_log(axes.xaxis)
        axes.axhspan(found.low, found.high, color=BAND, zorder=0)
        axes.axhline(found.bias, color=INK, linewidth=1.6)
        _dots(axes, truth, estimate - truth)
        limits = f"{format_points(found.low)} to {format_points(found.high)}"
        note(axes, f"mean {format_points(found.bias)}; 95{NO_BREAK}% {limits}", (_FLOOR, -reach), (0, 6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
        axes.label_outer()
    figure.legend(*together[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


@default_style
def parasitemia_agreement(true: ArrayLike, point: PointParasitemia) -> Figure:
    """Figure of corrected against true parasitemia with 95 % intervals, on logarithmic axes.

    Parameters are those of `bland_altman`. Marks below 0.1 % are at the left or lower end.
    """
    figure = new_figure(4.8)
    axes = figure.subplots()
    truth, columns = np.asarray(true, float), point.columns
    style_axes(axes, "true parasitemia (log scale)", "corrected parasitemia (log scale)", grid="both")
    axes.set(xscale="log", yscale="log", xlim=_RANGE, ylim=_RANGE)
    for axis in (axes.xaxis, axes.yaxis):
        _label_log(axis)
    line = np.geomspace(_FLOOR, 1, 61)
    axes.fill_between(line, 0.75 * line, 1.25 * line, color=BAND, zorder=0, label=f"within 25{NO_BREAK}%")
    axes.plot(line, line, color=QUIET_INK, linewidth=1.2, linestyle=":")
    ends = np.maximum([columns["low"], columns["high"]], _FLOOR)
    look: dict[str, Any] = {"color": QUIET_INK, "linewidth": 0.8, "alpha": 0.5}
    axes.vlines(np.maximum(truth, _FLOOR), *ends, label=f"95{NO_BREAK}% interval", **look)
    _dots(axes, truth, np.maximum(columns["corrected"], _FLOOR))
    axes.legend(loc="upper left")
    return figure


@default_style
def detection_by_parasitemia(point: PointParasitemia) -> Figure:
    """Figure of the share of patients detected as infected, in bands of true parasitemia, raw and corrected."""
    rows = [
        Row(_band_name(raw), [(raw.detected, FILLED), (corrected.detected, HOLLOW)])
        for raw, corrected in zip(point.raw_detected, point.corrected_detected, strict=True)
    ]
    figure = new_figure(1.5 + height_of(rows))
    axes = figure.subplots()
    draw_rows(axes, "patients detected as infected", rows, lambda share: f"{share.hits} of {share.total}")
    axes.set(xlim=(-0.04, 1.04), title="true parasitemia")
    axes.xaxis.set_major_formatter(WHOLE_PERCENT)
    entries = [key_entry("as counted", FILLED), key_entry("corrected", HOLLOW)]
    figure.legend(handles=entries, loc="outside lower left", ncols=2)
    return figure


def _band_name(band: Band) -> str:
    if not band.upto:
        return "none (false alarms)"
    if band.upto == 1:
        return f"above {100 * band.above:g}{NO_BREAK}%"
    return f"{100 * band.above:g} to {100 * band.upto:g}{NO_BREAK}%"


def _label_log(axis: Axis) -> None:
    """Percentages on a logarithmic axis of parasitemia, with patients without parasites at its lower end."""
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1.0]))
    axis.set_major_formatter(
        FuncFormatter(lambda share, _: f"{'≤' if share <= _FLOOR else ''}{100 * share:g}{NO_BREAK}%")
    )


def _dots(axes: Axes, true: Floats, height: Floats) -> None:
    """A mark for each patient, in the colour of infected or of healthy ones."""
    for infected, label, kind in ((True, "infected", "Parasitized"), (False, "healthy", "Uninfected")):
        kept = (true > 0) == infected
        look: dict[str, Any] = {"s": 22, "color": CLASS_COLORS[kind], "alpha": 0.75, "linewidths": 0}
        axes.scatter(np.maximum(true[kept], _FLOOR), height[kept], label=label, **look)
