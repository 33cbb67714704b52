"""Figures of how a model was trained: the learning rate, loss and accuracy after each epoch."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from malaria_detect.inference.metadata import Epoch
from malaria_detect.plots.style import (
    BAND,
    GREEN,
    INK,
    QUIET_INK,
    TEXT,
    as_power,
    drawn,
    new_figure,
    note,
    spread,
    style_axes,
)


@drawn
def loss_curves(history: Sequence[Epoch]) -> Figure:
    """Draw training and validation loss after each epoch; bands mark the picture sizes of progressive training.

    Parameters
    ----------
    history : sequence of Epoch, not empty
        Of the metadata.
    """
    return _curves(
        history,
        "cross-entropy loss (nats per cell)",
        {
            "training": (INK, [epoch.train_loss for epoch in history]),
            "validation": (GREEN, [epoch.valid_loss for epoch in history]),
        },
    )


@drawn
def accuracy_curves(history: Sequence[Epoch]) -> Figure:
    """Draw accuracy and ROC AUC on validation patients after each epoch; bands mark the picture sizes.

    Parameters
    ----------
    history : sequence of Epoch, not empty
        Of the metadata.
    """
    return _curves(
        history,
        "on validation patients",
        {
            "ROC AUC": (INK, [epoch.roc_auc for epoch in history]),
            "accuracy": (GREEN, [epoch.accuracy for epoch in history]),
        },
    )


@drawn
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
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    for name, height in spread(known, 0.09 * (high - low)).items():
        note(axes, f"{name} {known[name]:.3f}", (x, height), (6, -4))
