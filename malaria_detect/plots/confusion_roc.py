"""Figures of how many cells are called rightly: the confusion matrix, the ROC curve with its operating points."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from malaria_detect.metrics import Scores
from malaria_detect.metrics.formatting import format_percent
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID,
    GROUND,
    INK,
    QUIET_INK,
    TEXT,
    blend,
    drawn,
    new_figure,
    note,
    spread,
    style_axes,
)


@drawn
def confusion_matrix(scores: Scores) -> Figure:
    """Draw the confusion matrix: cells and shares of each label, stronger colour for a greater share.

    Parameters
    ----------
    scores : Scores
        Of `malaria_detect.metrics.score`.
    """
    figure = new_figure(3.5)
    axes = figure.subplots()
    axes.set(xlim=(-0.62, 2), ylim=(2.02, -0.5))
    axes.axis("off")
    rows = [
        ("Parasitized", (scores.true_positive, "sensitivity"), (scores.false_negative, "missed")),
        ("Uninfected", (scores.false_positive, "false alarms"), (scores.true_negative, "specificity")),
    ]
    axes.text(1, -0.36, "the model calls it", ha="center", fontsize=TEXT, color=QUIET_INK)
    axes.text(-0.6, -0.14, "label", fontsize=TEXT, color=QUIET_INK)
    for column, (name, *_) in enumerate(rows):
        axes.text(column + 0.5, -0.14, name, ha="center", fontsize=TEXT, weight="bold", color=INK)
    for row, (name, *entries) in enumerate(rows):
        total = sum(count for count, _ in entries)
        axes.text(-0.6, row + 0.46, name, fontsize=TEXT, weight="bold", color=INK)
        axes.text(-0.6, row + 0.66, f"{total:,} cells", fontsize=TEXT, color=QUIET_INK)
        for column, (count, meaning) in enumerate(entries):
            share = count / total
            # At most half of the full colour, so that the ink on it stays easy to read.
            fill = blend(CLASS_COLORS[name], share / 2)
            axes.add_patch(Rectangle((column + 0.02, row + 0.02), 0.96, 0.96, facecolor=fill, edgecolor=GRID))
            middle = column + 0.5
            axes.text(middle, row + 0.42, f"{count:,}", ha="center", fontsize=20, weight="bold", color=INK)
            axes.text(middle, row + 0.64, format_percent(share), ha="center", fontsize=TEXT, color=INK)
            axes.text(middle, row + 0.84, meaning, ha="center", fontsize=TEXT, color=INK)
    figure.supxlabel(
        f"{scores.patients:,} patients; threshold {scores.threshold:.3g}; shares of each label",
        fontsize=TEXT,
        color=QUIET_INK,
    )
    return figure


@drawn
def roc_curve(
    scores: Scores,
    points: Sequence[tuple[float, float]],
    operating_points: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw the ROC curve with its area, the operating points, and the corner enlarged where the curve is all there.

    Parameters
    ----------
    scores : Scores
        Of `malaria_detect.metrics.score`: the area, and the threshold that is marked where `operating_points` are
        not given.
    points : sequence of (float, float)
        The curve: (false positive rate, true positive rate), of `malaria_detect.metrics.roc_points`.
    operating_points : dict of str to (float, float), optional
        (Sensitivity, specificity) at each operating point, by its name.

    Raises
    ------
    ValueError
        Where the curve has fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"A ROC curve needs at least two points; there are {len(points)}.")
    marked = dict(operating_points or {})
    if not marked:
        marked["threshold"] = (scores.estimates["sensitivity"].value, scores.estimates["specificity"].value)
    figure = new_figure(5.0)
    axes = figure.subplots()
    style_axes(axes, "false positive rate (1 − specificity)", "sensitivity (true positive rate)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _draw_roc(axes, points, marked)
    axes.plot([0, 1], [0, 1], color=QUIET_INK, linewidth=1, linestyle=":", label="chance", zorder=1.8)
    axes.text(0.2, 0.15, "chance", fontsize=TEXT, color=QUIET_INK)
    area = scores.estimates["roc_auc"]
    lines = [f"ROC AUC {area.value:.4f}", f"95 % interval {area.low:.4f} to {area.high:.4f}"]
    if np.isnan(area.low):
        lines = lines[:1]
    for line, text in enumerate(lines):
        axes.text(0.98, 0.12 - 0.07 * line, text, ha="right", fontsize=TEXT, color=INK)

    labelled = axes
    furthest = max(max(1 - sensitivity, 1 - specificity) for sensitivity, specificity in marked.values())
    if area.value > 0.95 and furthest < 0.19:
        reach = 0.1 if operating_points and furthest < 0.09 else 0.2
        # White, so that what lies behind does not run through the numbers of the inset.
        axes.add_patch(Rectangle((0.3, 0.2), 0.71, 0.8, facecolor="white", zorder=1.9, linewidth=0))
        labelled = axes.inset_axes((0.45, 0.27, 0.53, 0.56))
        style_axes(labelled, "", "the corner, enlarged")
        labelled.set(xlim=(-reach / 50, reach), ylim=(1 - reach, 1 + reach / 50))
        labelled.set(xticks=[0, reach / 2, reach], yticks=[1 - reach, 1 - reach / 2, 1])
        labelled.set_facecolor("white")
        _draw_roc(labelled, points, marked)
    if operating_points:
        _name_points(labelled, marked)
        return figure
    ((sensitivity, specificity),) = marked.values()
    for line, text in enumerate(
        [
            f"threshold {scores.threshold:.3g}:",
            f"sensitivity {format_percent(sensitivity)},",
            f"specificity {format_percent(specificity)}",
        ]
    ):
        note(labelled, text, (1 - specificity, sensitivity), (10, -18 - 16 * line))
    return figure


def _draw_roc(
    axes: Axes, points: Sequence[tuple[float, float]], marked: Mapping[str, tuple[float, float]]
) -> None:
    x, y = np.array(points, dtype=np.float64).T
    axes.plot(x, y, color=CLASS_COLORS["Parasitized"], linewidth=2.2, label="ROC")
    for name, (sensitivity, specificity) in marked.items():
        place = (1 - specificity, sensitivity)
        axes.plot(*place, marker="o", markersize=8, color=INK, markeredgecolor="white", label=name)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _name_points(axes: Axes, marked: Mapping[str, tuple[float, float]]) -> None:
    """Name the points in a column right below them, each at the end of a thin line: they lie close together."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    column = max(1 - specificity for _, specificity in marked.values()) + 0.12 * (right - left)
    column = min(column, left + 0.55 * (right - left))
    wanted = {name: sensitivity - 0.1 * (top - bottom) for name, (sensitivity, _) in marked.items()}
    for name, height in spread(wanted, 0.11 * (top - bottom)).items():
        sensitivity, specificity = marked[name]
        axes.annotate(
            name,
            (1 - specificity, sensitivity),
            (column, height),
            va="center",
            fontsize=TEXT,
            color=INK,
            bbox=GROUND,
            arrowprops={
                "arrowstyle": "-",
                "color": QUIET_INK,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )
