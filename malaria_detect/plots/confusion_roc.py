"""How many cells are called correctly: confusion matrix and ROC curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from malaria_detect.metrics import Scores
from malaria_detect.metrics.formatting import format_interval, format_percent, format_score, format_threshold
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID_COLOR,
    GROUND,
    INK,
    QUIET_INK,
    WHOLE_PERCENT,
    blend,
    default_style,
    new_figure,
    style_axes,
)

Points = Mapping[str, tuple[float, float]]


@default_style
def confusion_matrix(scores: Scores) -> Figure:
    """Confusion matrix: cells and shares of each label; the colour is stronger for a greater share.

    Parameters
    ----------
    scores : Scores
        See `malaria_detect.metrics.score`.
    """
    figure = new_figure(3.5)
    axes = figure.subplots()
    axes.set(xlim=(-0.62, 2), ylim=(2.02, -0.5))
    axes.axis("off")
    rows = [
        ("Parasitized", (scores.true_positive, "sensitivity"), (scores.false_negative, "missed")),
        ("Uninfected", (scores.false_positive, "false alarms"), (scores.true_negative, "specificity")),
    ]
    center: dict[str, Any] = {"ha": "center"}
    axes.text(1, -0.36, "called by the model", color=QUIET_INK, **center)
    axes.text(-0.6, -0.14, "label", color=QUIET_INK)
    for row, (name, *entries) in enumerate(rows):
        total = sum(count for count, _ in entries)
        axes.text(row + 0.5, -0.14, name, weight="bold", **center)
        axes.text(-0.6, row + 0.46, name, weight="bold")
        axes.text(-0.6, row + 0.66, f"{total:,} cells", color=QUIET_INK)
        for column, (count, meaning) in enumerate(entries):
            share = count / total if total else np.nan
            # At most half of the full colour, so that the text on it is easy to read.
            fill = blend(CLASS_COLORS[name], np.nan_to_num(share) / 2)
            axes.add_patch(
                Rectangle((column + 0.02, row + 0.02), 0.96, 0.96, facecolor=fill, edgecolor=GRID_COLOR)
            )
            axes.text(column + 0.5, row + 0.42, f"{count:,}", fontsize=20, weight="bold", **center)
            axes.text(column + 0.5, row + 0.64, format_percent(share), **center)
            axes.text(column + 0.5, row + 0.84, meaning, **center)
    told = (
        f"{scores.patients:,} patients; threshold {format_threshold(scores.threshold)}; shares of each label"
    )
    figure.supxlabel(told, color=QUIET_INK)
    return figure


@default_style
def roc_curve(
    scores: Scores, points: Sequence[tuple[float, float]], operating_points: Points | None = None
) -> Figure:
    """ROC curve with its area and the operating points; the corner of a good model's curve is enlarged.

    Parameters
    ----------
    scores : Scores
        See `malaria_detect.metrics.score`. Its threshold is marked if there are no `operating_points`.
    points : sequence of (float, float)
        False positive rate and true positive rate, see `malaria_detect.metrics.roc_points`.
    operating_points : dict of str to (float, float), optional
        Sensitivity and specificity at each operating point.

    Raises
    ------
    ValueError
        If the curve has fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"A ROC curve needs at least two points; there are {len(points)}.")
    rates = scores.estimates["sensitivity"].value, scores.estimates["specificity"].value
    marked = dict(operating_points or {f"threshold {format_threshold(scores.threshold)}": rates})
    figure = new_figure(5.0)
    axes = figure.subplots()
    style_axes(axes, "false positive rate (1 − specificity)", "sensitivity (true positive rate)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _draw_roc(axes, points, marked)
    axes.plot([0, 1], [0, 1], color=QUIET_INK, linewidth=1, linestyle=":", label="chance", zorder=1.8)
    axes.text(0.2, 0.15, "chance", color=QUIET_INK)
    area = scores.estimates["roc_auc"]
    lines = [f"ROC AUC {format_score(area.value, 4)}"]
    if not np.isnan(area.low):
        lines.append(f"95 % interval {format_interval(area, lambda value: format_score(value, 4))}")
    axes.text(0.98, 0.03, "\n".join(lines), ha="right", va="bottom")
    furthest = max(max(1 - sensitivity, 1 - specificity) for sensitivity, specificity in marked.values())
    if area.value > 0.95 and furthest < 0.19:
        axes = _corner(axes, points, marked, reach=0.1 if furthest < 0.09 else 0.2)
    _name_points(axes, points, marked)
    return figure


def _draw_roc(axes: Axes, points: Sequence[tuple[float, float]], marked: Points) -> None:
    x, y = np.array(points, dtype=np.float64).T
    axes.plot(x, y, color=CLASS_COLORS["Parasitized"], linewidth=2.2, label="ROC")
    for name, (sensitivity, specificity) in marked.items():
        place = (1 - specificity, sensitivity)
        axes.plot(*place, marker="o", markersize=8, color=INK, markeredgecolor="white", label=name)
    axes.xaxis.set_major_formatter(WHOLE_PERCENT)
    axes.yaxis.set_major_formatter(WHOLE_PERCENT)


def _corner(axes: Axes, points: Sequence[tuple[float, float]], marked: Points, reach: float) -> Axes:
    """Enlarge the upper left corner of the curve in an inset, on white."""
    axes.add_patch(Rectangle((0.3, 0.2), 0.71, 0.8, facecolor="white", zorder=1.9, linewidth=0))
    inset = axes.inset_axes((0.45, 0.27, 0.53, 0.56))
    style_axes(inset, "", "the corner, enlarged")
    inset.set(xlim=(-reach / 50, reach), ylim=(1 - reach, 1 + reach / 50))
    inset.set(xticks=[0, reach / 2, reach], yticks=[1 - reach, 1 - reach / 2, 1], facecolor="white")
    _draw_roc(inset, points, marked)
    return inset


def _name_points(axes: Axes, points: Sequence[tuple[float, float]], marked: Points) -> None:
    """Write the names in a column below the curve, each with a thin line to its point."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    column = max(1 - specificity for _, specificity in marked.values()) + 0.12 * (right - left)
    column = min(column, left + 0.55 * (right - left))
    arrow = {"arrowstyle": "-", "color": QUIET_INK, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 3}
    look: dict[str, Any] = {"va": "center", "bbox": GROUND, "arrowprops": arrow}
    # The curve rises, so a name that starts below it stays below it.
    height = float(np.interp(column, *np.transpose(points)))
    for name, (sensitivity, specificity) in sorted(marked.items(), key=lambda item: -item[1][0]):
        height = min(sensitivity, height) - 0.11 * (top - bottom)
        axes.annotate(name, (1 - specificity, sensitivity), (column, height), **look)
