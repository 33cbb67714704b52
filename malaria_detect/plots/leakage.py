"""Figures that hold scores side by side: patients kept apart or on both sides, ours and published ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from malaria_detect.metrics import Estimate
from malaria_detect.plots.cells import fold
from malaria_detect.plots.style import (
    GREEN,
    GRID,
    GROUND,
    INK,
    QUIET_INK,
    TEXT,
    drawn,
    new_figure,
    style_axes,
)

# What each protocol does with patients, and how it is drawn: a hollow mark for a hollow number.
PROTOCOLS = {"grouped": "grouped: patients kept apart", "random": "random: patients on both sides"}
_MARKS: dict[str, dict[str, Any]] = {
    "grouped": {"marker": "o", "color": GREEN, "markerfacecolor": GREEN},
    "random": {"marker": "D", "color": INK, "markerfacecolor": "white"},
}
_SCORES = {
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "roc_auc": "ROC AUC",
}


@dataclass(frozen=True)
class ComparedScore:
    """One row of :func:`score_comparison`.

    Parameters
    ----------
    name : str
        Whose score it is.
    protocol : str
        ``"grouped"`` where no patient has cells on both sides of the split, else ``"random"``.
    value, low, high : float, in [0, 1]
        The score and its interval; NaN for an interval that was not published.
    ours : bool
        True for a score of this project, which is written bold.
    """

    name: str
    protocol: str
    value: float
    low: float = nan
    high: float = nan
    ours: bool = False


@drawn
def patient_leakage(
    grouped: Mapping[str, Estimate], random: Mapping[str, Estimate], difference: Mapping[str, Estimate]
) -> Figure:
    """Draw how much better a model looks when cells of its test patients were among its training cells.

    Parameters
    ----------
    grouped, random : dict of str to Estimate
        Scores of the split by patient and of the random split; accuracy, sensitivity, specificity and roc_auc are
        drawn.
    difference : dict of str to Estimate
        Random less grouped, of `malaria_detect.metrics.difference`.

    Raises
    ------
    ValueError
        Where one of the four scores is missing.
    """
    for scores in (grouped, random, difference):
        missing = [name for name in _SCORES if name not in scores]
        if missing:
            raise ValueError(f"The leakage meter needs {', '.join(_SCORES)}; missing: {', '.join(missing)}.")
    figure = new_figure(6.1)
    # Room between the ticks of the one and the title of the other.
    upper, lower = figure.subplots(2, 1, height_ratios=(8.4, 4.2), gridspec_kw={"hspace": 0.05})
    style_axes(upper, "", "score in %, with its 95 % interval")
    style_axes(lower, "", "random − grouped, in percentage points")
    for axes in (upper, lower):
        axes.grid(visible=False)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_yticks(range(len(_SCORES)), list(_SCORES.values()))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_hundredfold))
    for row, name in enumerate(_SCORES):
        for estimate, protocol, height in (
            (grouped[name], "grouped", row - 0.22),
            (random[name], "random", row + 0.22),
        ):
            _draw(upper, estimate, height, **_MARKS[protocol])
            _write(upper, 1.03, height, _with_interval(estimate, "{:.1f}"))
        change = difference[name]
        _draw(lower, change, row, marker="s", color=INK, markerfacecolor=INK)
        _write(lower, 1.03, row, _with_interval(change, "{:+.1f}"))
    for line, (protocol, meaning) in enumerate(PROTOCOLS.items()):
        height = -1.6 + 0.5 * line
        upper.plot(
            0.03, height, **_MARKS[protocol], markersize=7, label="key", transform=upper.get_yaxis_transform()
        )
        weight = "bold" if protocol == "random" else "normal"
        _write(upper, 0.07, height, meaning, weight=weight, bbox=GROUND)
    upper.set_ylim(len(_SCORES) - 0.4, -1.9)
    lower.axvline(0, color=INK, linewidth=1.2)
    lower.set_ylim(len(_SCORES) - 0.5, -0.5)
    return figure


@drawn
def score_comparison(rows: Sequence[ComparedScore], measure: str = "accuracy") -> Figure:
    """Draw published scores and ours, those with patients kept apart above those with patients on both sides.

    Parameters
    ----------
    rows : sequence of ComparedScore, not empty
        Drawn in this order within their protocol.
    measure : str
        The name of the score, the same for all rows.

    Raises
    ------
    ValueError
        Where there are no rows, or a protocol is neither "grouped" nor "random".
    """
    if not rows:
        raise ValueError("A comparison needs at least one score; there is none.")
    for row in rows:
        if row.protocol not in PROTOCOLS:
            raise ValueError(f'A protocol is "grouped" or "random"; that of {row.name} is "{row.protocol}".')
    # Heights in lines of text.
    places: list[tuple[float, ComparedScore, str]] = []
    headings: list[tuple[float, str]] = []
    height = 0.0
    for protocol in PROTOCOLS:
        members = [row for row in rows if row.protocol == protocol]
        if members:
            headings.append((height, protocol))
            height += 1.15
        for row in members:
            name = fold(row.name, 150)
            lines = name.count("\n") + 1
            places.append((height + (lines - 1) / 2, row, name))
            height += lines + 0.35
        height += 0.3
    figure = new_figure(0.75 + 0.23 * height)
    axes = figure.subplots()
    style_axes(axes, measure, "")
    axes.grid(visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(height - 0.6, -0.8)
    axes.set_yticks([place for place, *_ in places], [name for *_, name in places])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for label, (place, row, _) in zip(axes.get_yticklabels(), places, strict=True):
        label.set_fontweight("bold" if row.ours else "normal")
        _draw(axes, Estimate(row.value, row.low, row.high), place, **_MARKS[row.protocol])
        _write(axes, 1.03, place, f"{row.value:.3f}", weight="bold" if row.ours else "normal")
    for place, protocol in headings:
        _write(axes, 0, place, PROTOCOLS[protocol], color=QUIET_INK, bbox=GROUND)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return figure


def _draw(axes: Axes, estimate: Estimate, height: float, **mark: Any) -> None:
    if not isnan(estimate.low):
        axes.hlines(height, estimate.low, estimate.high, color=mark["color"], linewidth=2.2)
    axes.plot(estimate.value, height, markersize=8, **mark)


def _write(axes: Axes, x: float, height: float, text: str, **look: Any) -> None:
    """Write text level with a mark; `x` is a fraction of the width, 1.03 right of the axes."""
    written: dict[str, Any] = {"fontsize": TEXT, "color": INK, "va": "center"} | look
    axes.text(x, height, text, transform=axes.get_yaxis_transform(), **written)


def _with_interval(estimate: Estimate, form: str) -> str:
    """Write a share in percent, or a difference in percentage points, with its interval."""
    numbers = (estimate.value, estimate.low, estimate.high)
    value, low, high = (form.format(100 * number).replace("-", "−") for number in numbers)
    return value if isnan(estimate.low) else f"{value} ({low} to {high})"


def _hundredfold(value: float, _: int | None) -> str:
    return f"{100 * value:.4g}".replace("-", "−")
