"""How a model was trained: learning rate, and loss and accuracy after each epoch."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from malaria_detect.inference.metadata import Epoch
from malaria_detect.metrics.formatting import format_score
from malaria_detect.plots.style import (
    BAND,
    GREEN,
    INK,
    QUIET_INK,
    default_style,
    new_figure,
    note,
    spread,
    style_axes,
)


@default_style
def loss_curves(history: Sequence[Epoch]) -> Figure:
    """Training and validation loss after each epoch; bands mark the image sizes of progressive training.

    Parameters
    ----------
    history : sequence of Epoch, not empty

    Raises
    ------
    ValueError
        If the history is empty.
    """
    training, validation = (
        [getattr(epoch, name) for epoch in history] for name in ("train_loss", "valid_loss")
    )
    return _curves(history, "loss (cross-entropy)", {"training": training, "validation": validation})


@default_style
def accuracy_curves(history: Sequence[Epoch]) -> Figure:
    """Accuracy and ROC AUC on validation patients after each epoch; bands mark the image sizes.

    Parameters
    ----------
    history : sequence of Epoch, not empty

    Raises
    ------
    ValueError
        If the history is empty.
    """
    area, accuracy = ([getattr(epoch, name) for epoch in history] for name in ("roc_auc", "accuracy"))
    return _curves(history, "on validation patients", {"ROC AUC": area, "accuracy": accuracy})


@default_style
def lr_curve(lrs: ArrayLike, losses: ArrayLike, suggestion: float) -> Figure:
    """Loss against learning rate, with the suggested rate.

    Parameters
    ----------
    lrs, losses : array of float, shape (steps,)
        As recorded by the learning-rate finder.
    suggestion : float
        Suggested learning rate.
    """
    rates, values = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    figure = new_figure(3.3)
    axes = figure.subplots()
    style_axes(axes, "learning rate (log scale)", "training loss (cross-entropy)")
    axes.plot(rates, values, color=GREEN, linewidth=2)
    axes.set_xscale("log")
    # Beyond its lowest point the loss explodes, and would flatten the rest of the curve.
    lowest = int(np.nanargmin(values))
    low, high = float(values[lowest]), float(np.nanmax(values[: lowest + 1]))
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    axes.axvline(suggestion, color=INK, linewidth=1.2)
    note(axes, f"suggested {suggestion:.1e}", (suggestion, axes.get_ylim()[0]), (-6, 8), "right")
    return figure


def _curves(history: Sequence[Epoch], y_label: str, lines: Mapping[str, Sequence[float]]) -> Figure:
    if not history:
        raise ValueError("The history is empty; the curves need at least one epoch.")
    figure = new_figure(3.4)
    axes = figure.subplots()
    style_axes(axes, "epoch (bands: image size in px)", y_label)
    epochs = [epoch.epoch for epoch in history]
    for (name, values), color in zip(lines.items(), (INK, GREEN), strict=True):
        axes.plot(epochs, values, color=color, linewidth=2.2, marker="o", markersize=5, label=name)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.set_xticks(range(epochs[0], epochs[-1] + 1, -(-len(epochs) // 10)))
    # Room for the sizes above the lines.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    _mark_sizes(axes, history)
    _label_ends(axes, epochs[-1] + 0.5, {name: values[-1] for name, values in lines.items()})
    return figure


def _mark_sizes(axes: Axes, history: Sequence[Epoch]) -> None:
    """Shade each run of epochs with the same image size, and write the size above it."""
    look: dict[str, Any] = {"ha": "center", "va": "top", "color": QUIET_INK}
    for band, (size, run) in enumerate(groupby(history, key=lambda epoch: epoch.size)):
        numbers = [epoch.epoch for epoch in run]
        start, end = numbers[0] - 0.5, numbers[-1] + 0.5
        axes.axvspan(start, end, color=BAND if band % 2 == 0 else "white", zorder=0, linewidth=0)
        text = f"{size} px" if len(numbers) > len(history) / 5 else f"{size}"
        axes.text((start + end) / 2, 0.97, text, transform=axes.get_xaxis_transform(), **look)


def _label_ends(axes: Axes, x: float, values: Mapping[str, float]) -> None:
    """Name each line at the right edge, with its last value; NaN has no label."""
    low, high = axes.get_ylim()
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    for name, height in spread(known, 0.09 * (high - low)).items():
        note(axes, f"{name} {format_score(known[name])}", (x, height), (6, -4))
