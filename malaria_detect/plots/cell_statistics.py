"""Sizes, numbers and colours of the cells of classes and patients."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from malaria_detect.metrics.formatting import format_count, format_percent
from malaria_detect.plots.cells import LEVELS
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID_COLOR,
    INK,
    WHOLE_PERCENT,
    default_style,
    new_figure,
    note,
    style_axes,
)

_BIN = 5  # levels


@default_style
def size_histogram(sides: Mapping[str, ArrayLike]) -> Figure:
    """Histogram of image sizes, a panel for each class.

    Parameters
    ----------
    sides : dict of class name to array of int, shape (N,)
        Longer side of each image, in px.
    """
    figure = new_figure(3.9)
    pixels = {name: np.asarray(values) for name, values in sides.items()}
    everything = np.concatenate(list(pixels.values()))
    bins = np.arange(everything.min() // 10 * 10, everything.max() + 11, 10)
    panels = figure.subplots(len(pixels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, pixels.items(), strict=True):
        style_axes(axes, "", f"{name}: {len(values):,} cells")
        axes.hist(values, bins=bins, color=CLASS_COLORS[name], edgecolor="white", linewidth=0.5)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
    # Room for the medians.
    tallest = 1.3 * panels[0].get_ylim()[1]
    panels[0].set_ylim(0, tallest)
    for axes, values in zip(panels, pixels.values(), strict=True):
        median = float(np.median(values))
        axes.axvline(median, color=INK, linewidth=1.2)
        note(axes, f"median {median:.0f} px", (median, tallest), (6, -14))
    panels[-1].set_xlabel("longer side (px)")
    return figure


@default_style
def class_counts(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Number of cells of each class, in total or on each side of a split.

    Parameters
    ----------
    counts : dict of str to dict of class name to int
        For example ``{"training": {"Parasitized": 7900, "Uninfected": 7950}, "validation": ...}``.
    """
    figure = new_figure(0.1 + 0.85 * len(counts))
    axes = figure.subplots()
    most = max(count for classes in counts.values() for count in classes.values())
    axes.set(xlim=(0, 1.75 * most), ylim=(3 * len(counts) - 0.4, -0.6))
    axes.axis("off")
    for row, (name, classes) in enumerate(counts.items()):
        axes.text(0, 3 * row, name, va="center", weight="bold")
        total = sum(classes.values())
        for line, (label, count) in enumerate(classes.items(), start=3 * row + 1):
            axes.barh(line, count, height=0.86, color=CLASS_COLORS[label])
            note(axes, f"{label} {count:,} ({format_percent(count / total, 0)})", (count, line), (6, -4))
    return figure


@default_style
def patient_counts(parasitized: ArrayLike, uninfected: ArrayLike) -> Figure:
    """Number of cells of each patient: infected patients first, most cells first.

    Parameters
    ----------
    parasitized, uninfected : array of int, shape (patients,)
        Cells of each class, one entry for each patient group.
    """
    sick, healthy = np.asarray(parasitized), np.asarray(uninfected)
    infected = sick > 0
    order = np.lexsort((-(sick + healthy), ~infected))
    figure = new_figure(3.5)
    axes = figure.subplots()
    style_axes(axes, "patients, one bar each", "cells")
    edges = np.arange(len(order) + 1)
    below = np.zeros(len(order), dtype=np.int64)
    for name, cells in (("Parasitized", sick[order]), ("Uninfected", healthy[order])):
        label = f"{name}: {cells.sum():,} cells of {np.count_nonzero(cells):,} patients"
        # Stairs, not bars: two hundred bars show seams between them.
        axes.stairs(below + cells, edges, baseline=below, fill=True, color=CLASS_COLORS[name], label=label)
        below = below + cells
    most = below.max()
    axes.set(xlim=(0, len(order)), xticks=[], ylim=(0, 1.45 * most))
    axes.legend(loc="upper left")
    return figure


@default_style
def colour_histograms(colours: Mapping[str, ArrayLike]) -> Figure:
    """Histograms of the mean colour of the cells of each class, a panel for each channel.

    Parameters
    ----------
    colours : dict of class name to array, shape (N, 3)
        Mean red, green and blue of each cell, 0 to 255. The histograms show shares of a class, so that classes of
        different size can be compared.
    """
    values = {name: np.asarray(of_class, dtype=float) for name, of_class in colours.items()}
    everything = np.concatenate(list(values.values()))
    bins = np.arange(everything.min() // _BIN * _BIN, everything.max() + _BIN + 1, _BIN)
    figure = new_figure(5.4)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for channel, (axes, title) in enumerate(zip(panels, ("red", "green", "blue"), strict=True)):
        style_axes(axes, "", f"{title}: share of cells")
        for name, of_class in values.items():
            look = {"edgecolor": CLASS_COLORS[name], "facecolor": (CLASS_COLORS[name], 0.15), "linewidth": 2}
            shares = np.full(len(of_class), 1 / len(of_class))
            axes.hist(of_class[:, channel], bins, weights=shares, histtype="stepfilled", label=name, **look)
        axes.yaxis.set_major_formatter(WHOLE_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    # Room for the legend.
    panels[0].set_ylim(0, 1.5 * panels[0].get_ylim()[1])
    panels[0].legend(loc="upper left")
    panels[-1].set_xlabel(f"mean of a cell (0 to {LEVELS})")
    return figure


@default_style
def patient_colours(colours: Mapping[str, ArrayLike]) -> Figure:
    """Stripes in the mean colour of each patient's cells, a row for each kind of patient.

    Parameters
    ----------
    colours : dict of str to array, shape (patients, 3)
        Mean red, green and blue of each patient, 0 to 255; for example ``{"infected": ..., "healthy": ...}``. Each row
        is sorted from red to blue.
    """
    figure = new_figure(0.1 + 1.0 * len(colours))
    rows = figure.subplots(len(colours), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, colours.items(), strict=True):
        levels = np.asarray(values, dtype=float)
        order = np.argsort(levels[:, 2] - levels[:, 0], kind="stable")
        axes.imshow(levels[order][None] / LEVELS, aspect="auto", interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=GRID_COLOR, visible=True)
        axes.set_title(format_count(len(levels), f"{name} patient"))
    return figure
