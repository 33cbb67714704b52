"""Figures of how a model was trained and how good it is."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike

from malaria_detect.metrics import Scores
from malaria_detect.passport import Epoch
from malaria_detect.plots.style import (
    BAND,
    CLASS_COLORS,
    GREEN,
    GRID,
    INK,
    QUIET_INK,
    TEXT,
    as_power,
    blend,
    new_figure,
    note,
    percent,
    style_axes,
)


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
            axes.text(middle, row + 0.64, percent(share), ha="center", fontsize=TEXT, color=INK)
            axes.text(middle, row + 0.84, meaning, ha="center", fontsize=TEXT, color=INK)
    figure.supxlabel(
        f"{scores.patients:,} patients; threshold {scores.threshold:.3g}; shares of each label",
        fontsize=TEXT,
        color=QUIET_INK,
    )
    return figure


def roc_curve(scores: Scores) -> Figure:
    """Draw the ROC curve with its area, the operating point, and the corner enlarged where the curve is all there.

    Parameters
    ----------
    scores : Scores
        Of `malaria_detect.metrics.score`.
    """
    figure = new_figure(5.0)
    axes = figure.subplots()
    style_axes(axes, "false positive rate (1 − specificity)", "sensitivity (true positive rate)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _draw_roc(axes, scores)
    axes.plot([0, 1], [0, 1], color=QUIET_INK, linewidth=1, linestyle=":", label="chance")
    axes.text(0.2, 0.15, "chance", fontsize=TEXT, color=QUIET_INK)
    area = scores.estimates["roc_auc"]
    lines = [f"ROC AUC {area.value:.4f}", f"95 % interval {area.low:.4f} to {area.high:.4f}"]
    if np.isnan(area.low):
        lines = lines[:1]
    for line, text in enumerate(lines):
        axes.text(0.98, 0.12 - 0.07 * line, text, ha="right", fontsize=TEXT, color=INK)

    point = (1 - scores.estimates["specificity"].value, scores.estimates["sensitivity"].value)
    labelled = axes
    if area.value > 0.95 and point[0] < 0.19 and point[1] > 0.81:
        labelled = axes.inset_axes((0.45, 0.27, 0.53, 0.56))
        style_axes(labelled, "", "the corner, enlarged")
        labelled.set(xlim=(-0.004, 0.2), ylim=(0.8, 1.004), xticks=[0, 0.1, 0.2], yticks=[0.8, 0.9, 1])
        labelled.set_facecolor("white")
        _draw_roc(labelled, scores)
    for line, text in enumerate(
        [
            f"threshold {scores.threshold:.3g}:",
            f"sensitivity {percent(point[1])},",
            f"specificity {percent(1 - point[0])}",
        ]
    ):
        note(labelled, text, point, (10, -18 - 16 * line))
    return figure


def loss_curves(history: Sequence[Epoch]) -> Figure:
    """Draw training and validation loss after each epoch; bands mark the picture sizes of progressive training.

    Parameters
    ----------
    history : sequence of Epoch, not empty
        Of the passport.
    """
    return _curves(
        history,
        "cross-entropy loss (nats per cell)",
        {
            "training": (INK, [epoch.train_loss for epoch in history]),
            "validation": (GREEN, [epoch.valid_loss for epoch in history]),
        },
    )


def accuracy_curves(history: Sequence[Epoch]) -> Figure:
    """Draw accuracy and ROC AUC on validation patients after each epoch; bands mark the picture sizes.

    Parameters
    ----------
    history : sequence of Epoch, not empty
        Of the passport.
    """
    return _curves(
        history,
        "on validation patients",
        {
            "ROC AUC": (INK, [epoch.roc_auc for epoch in history]),
            "accuracy": (GREEN, [epoch.accuracy for epoch in history]),
        },
    )


def lr_curve(lrs: ArrayLike, losses: ArrayLike, suggestion: float) -> Figure:
    """Draw the learning-rate finder's loss over the learning rate, and the rate it suggests.

    Parameters
    ----------
    lrs, losses : array of float, shape (steps,)
        Of the finder's recorder.
    suggestion : float
        The suggested learning rate.
    """
    rates, values = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    figure = new_figure(3.3)
    axes = figure.subplots()
    style_axes(axes, "learning rate (log scale)", "training loss (nats per cell)")
    axes.plot(rates, values, color=GREEN, linewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(as_power))
    # Past its lowest point the loss explodes, and would flatten all that is worth seeing.
    lowest = int(np.nanargmin(values))
    low, high = float(values[lowest]), float(np.nanmax(values[: lowest + 1]))
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    axes.axvline(suggestion, color=INK, linewidth=1.2)
    # Under the plateau, where no curve comes.
    note(axes, f"suggested {as_power(suggestion)}", (suggestion, axes.get_ylim()[0]), (-6, 8), "right")
    return figure


def _draw_roc(axes: Axes, scores: Scores) -> None:
    x, y = np.array(scores.roc).T
    axes.plot(x, y, color=CLASS_COLORS["Parasitized"], linewidth=2.2, label="ROC")
    point = (1 - scores.estimates["specificity"].value, scores.estimates["sensitivity"].value)
    axes.plot(*point, marker="o", markersize=8, color=INK, markeredgecolor="white", label="threshold")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def _curves(history: Sequence[Epoch], y_label: str, lines: Mapping[str, tuple[str, list[float]]]) -> Figure:
    if not history:
        raise ValueError("The curves need at least one epoch; the history is empty.")
    figure = new_figure(3.4)
    axes = figure.subplots()
    style_axes(axes, "epoch (bands: side of the training pictures in px)", y_label)
    epochs = [epoch.epoch for epoch in history]
    for name, (color, values) in lines.items():
        axes.plot(epochs, values, color=color, linewidth=2.2, marker="o", markersize=5, label=name)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.set_xticks(range(epochs[0], epochs[-1] + 1, -(-len(epochs) // 10)))
    # Room for the sizes above the lines.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    _mark_sizes(axes, history)
    _label_ends(axes, epochs[-1] + 0.5, {name: values[-1] for name, (_, values) in lines.items()})
    return figure


def _mark_sizes(axes: Axes, history: Sequence[Epoch]) -> None:
    """Shade each run of epochs at one picture size, and write the size above."""
    for band, (size, run) in enumerate(groupby(history, key=lambda epoch: epoch.size)):
        numbers = [epoch.epoch for epoch in run]
        start, end = numbers[0] - 0.5, numbers[-1] + 0.5
        axes.axvspan(start, end, color=BAND if band % 2 == 0 else "white", zorder=0, linewidth=0)
        axes.text(
            (start + end) / 2,
            0.97,
            f"{size} px" if len(numbers) > len(history) / 5 else f"{size}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=TEXT,
            color=QUIET_INK,
        )


def _label_ends(axes: Axes, x: float, values: Mapping[str, float]) -> None:
    """Name each line at the right edge `x`, with its last value; labels of lines that end close together move apart."""
    low, high = axes.get_ylim()
    apart = 0.09 * (high - low)
    previous = -np.inf
    for name, value in sorted(values.items(), key=lambda item: item[1]):
        if np.isnan(value):
            continue
        previous = max(value, previous + apart)
        note(axes, f"{name} {value:.3f}", (x, previous), (6, -4))
