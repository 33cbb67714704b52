"""Scores side by side: split by patient or at random, this project's and published ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import format_estimate, format_points, format_score, format_signed
from malaria_detect.plots.cells import fold
from malaria_detect.plots.rows import FILLED, HOLLOW, draw_mark, key_entry, style_rows, write_beside
from malaria_detect.plots.style import GROUND, INK, QUIET_INK, default_style, legend, new_figure

PROTOCOLS = {"grouped": "Split by patient", "random": "Random split"}
_MARKS = {"grouped": FILLED, "random": HOLLOW}
_SCORES = {
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "roc_auc": "ROC AUC",
}


@dataclass(frozen=True)
class ComparedScore:
    """One row of :func:`score_comparison`.

    Attributes
    ----------
    name : str
        Name of the work.
    protocol : str
        ``"grouped"`` if no patient has cells on both sides of the split, otherwise ``"random"``.
    value, low, high : float
        The score and its 95 % interval, 0 to 1; NaN for an interval that was not published.
    ours : bool
        True for a score of this project, which is written in bold.
    """

    name: str
    protocol: str
    value: float
    low: float = nan
    high: float = nan
    ours: bool = False


@default_style
def patient_leakage(
    grouped: Mapping[str, Estimate], random: Mapping[str, Estimate], difference: Mapping[str, Estimate]
) -> Figure:
    """Figure of the effect of patient-level leakage: scores of both kinds of split, and their difference.

    Parameters
    ----------
    grouped, random : dict of str to Estimate
        Scores with the split by patient and with the random split: accuracy, sensitivity, specificity, roc_auc.
    difference : dict of str to Estimate
        Random minus grouped, see :func:`malaria_detect.metrics.difference`.

    Raises
    ------
    ValueError
        If one of the four scores is missing.
    """
    for scores in (grouped, random, difference):
        if missing := [name for name in _SCORES if name not in scores]:
            raise ValueError(f"The figure needs {', '.join(_SCORES)}; missing: {', '.join(missing)}.")
    figure = new_figure(5.6)
    upper, lower = figure.subplots(2, 1, height_ratios=(2, 1))
    rows = range(len(_SCORES))
    style_rows(upper, "score (%) with 95 % interval", rows, list(_SCORES.values()))
    style_rows(lower, "random split minus split by patient (% points)", rows, list(_SCORES.values()))
    for row, name in enumerate(_SCORES):
        for scores, protocol, height in ((grouped, "grouped", row - 0.22), (random, "random", row + 0.22)):
            draw_mark(upper, scores[name], height, _MARKS[protocol])
            write_beside(upper, height, format_estimate(scores[name], _per_cent))
        draw_mark(lower, difference[name], row, {"marker": "s", "color": INK, "markersize": 8})
        write_beside(lower, row, format_estimate(difference[name], format_points))
    lower.axvline(0, color=INK, linewidth=1.2)
    upper.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_signed(100 * value, 1)))
    key = [key_entry(meaning, _MARKS[protocol]) for protocol, meaning in PROTOCOLS.items()]
    legend(upper, "lower left", key, bbox_to_anchor=(0, 1), ncols=2, columnspacing=1)
    return figure


@default_style
def score_comparison(rows: Sequence[ComparedScore], measure: str = "accuracy") -> Figure:
    """Figure of published scores and ours, those with a split by patient above those with a random split.

    Parameters
    ----------
    rows : sequence of ComparedScore, not empty
        Drawn in this order within each kind of split.
    measure : str
        Name of the score.

    Raises
    ------
    ValueError
        If there are no rows, or a protocol is unknown.
    """
    if not rows:
        raise ValueError("A comparison needs at least one score.")
    if unknown := [row.protocol for row in rows if row.protocol not in PROTOCOLS]:
        raise ValueError(f'A protocol is "grouped" or "random", not "{unknown[0]}".')
    # Heights in lines of text.
    places: list[tuple[float, ComparedScore, str]] = []
    headings: list[tuple[float, str]] = []
    height = 0.0
    for protocol, meaning in PROTOCOLS.items():
        members = [row for row in rows if row.protocol == protocol]
        if members:
            headings.append((height, meaning))
            height += 1.15
        for row in members:
            name = fold(row.name, 150)
            lines = name.count("\n") + 1
            places.append((height + (lines - 1) / 2, row, name))
            height += lines + 0.35
        height += 0.3
    figure = new_figure(0.75 + 0.23 * height)
    axes = figure.subplots()
    heights, drawn, names = zip(*places, strict=True)
    style_rows(axes, measure, heights, names, [row.ours for row in drawn])
    axes.set_ylim(height - 0.6, -0.8)
    for place, row, _ in places:
        draw_mark(axes, Estimate(row.value, row.low, row.high), place, _MARKS[row.protocol])
        write_beside(axes, place, format_score(row.value), weight="bold" if row.ours else "normal")
    for place, heading in headings:
        write_beside(axes, place, heading, x=0, color=QUIET_INK, bbox=GROUND)
    return figure


def _per_cent(share: float) -> str:
    return format_score(100 * share, 1)
