"""Scores side by side: split by patient or at random, this project's and published ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import format_estimate, format_points, format_score, format_signed
from malaria_detect.plots.rows import FILLED, HOLLOW, Row, draw_rows, height_of, key_entry
from malaria_detect.plots.style import INK, default_style, fold, new_figure

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
    score : Estimate
        0 to 1; with NaN for an interval that was not published.
    ours : bool
        True for a score of this project, which is written in bold.
    """

    name: str
    protocol: str
    score: Estimate
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
    """
    square = {"marker": "s", "color": INK, "markersize": 8}
    scores = [
        Row(label, [(grouped[name], FILLED), (random[name], HOLLOW)]) for name, label in _SCORES.items()
    ]
    changes = [Row(label, [(difference[name], square)]) for name, label in _SCORES.items()]
    heights = height_of(scores), height_of(changes)
    figure = new_figure(1.6 + sum(heights))
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    draw_rows(
        upper, "score (%) with 95 % interval", scores, lambda score: format_estimate(score, _format_per_cent)
    )
    draw_rows(
        lower,
        "random split minus split by patient (% points)",
        changes,
        lambda change: format_estimate(change, format_points),
    )
    lower.axvline(0, color=INK, linewidth=1.2)
    upper.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_signed(100 * value, 1)))
    key = [key_entry(meaning, _MARKS[protocol]) for protocol, meaning in PROTOCOLS.items()]
    upper.legend(handles=key, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1)
    return figure


@default_style
def score_comparison(compared: Sequence[ComparedScore], measure: str = "accuracy") -> Figure:
    """Figure of published scores and ours, those with a split by patient above those with a random split.

    Parameters
    ----------
    compared : sequence of ComparedScore, not empty
        Drawn in this order within each kind of split.
    measure : str
        Name of the score.

    Raises
    ------
    ValueError
        If there are no scores, or a protocol is unknown.
    """
    if not compared:
        raise ValueError("A comparison needs at least one score.")
    if unknown := [one.protocol for one in compared if one.protocol not in PROTOCOLS]:
        raise ValueError(f'A protocol is "grouped" or "random", not "{unknown[0]}".')
    rows = []
    for protocol, meaning in PROTOCOLS.items():
        members = [
            Row(fold(one.name, 150), [(one.score, _MARKS[protocol])], one.ours)
            for one in compared
            if one.protocol == protocol
        ]
        rows += [Row(meaning), *members] if members else []
    figure = new_figure(0.75 + height_of(rows))
    draw_rows(figure.subplots(), measure, rows)
    return figure


def _format_per_cent(share: float) -> str:
    return format_score(100 * share, 1)
