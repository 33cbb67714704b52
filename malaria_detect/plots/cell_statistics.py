"""Colours of classes and patients, and mean and standard deviation of their images."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from malaria_detect.metrics.formatting import format_count
from malaria_detect.plots.cells import GAP
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID,
    INK,
    TEXT,
    WHOLE_PERCENT,
    WIDTH,
    default_style,
    legend,
    new_figure,
    style_axes,
)

_CHANNELS = ("red", "green", "blue")
_LEVELS = 255
_BIN = 5  # levels
_SPREAD = "standard deviation"


@default_style
def colour_histograms(colours: Mapping[str, ArrayLike]) -> Figure:
    """Histograms of the mean colour of the cells of each class, a panel for each channel.

    Parameters
    ----------
    colours : dict of class name to array, shape (N, 3)
        Mean red, green and blue of each cell, 0 to 255. The histograms show shares of a class, so that classes of
        different size can be compared.

    Raises
    ------
    ValueError
        If a class has no cells, or an array is not (N, 3).
    """
    values = {name: np.asarray(of_class, dtype=float) for name, of_class in colours.items()}
    for name, of_class in values.items():
        if of_class.ndim != 2 or of_class.shape[1] != 3 or not len(of_class):
            raise ValueError(f"Colours of {name} must have the shape (cells, 3), not {of_class.shape}.")
    everything = np.concatenate(list(values.values()))
    low = everything.min() // _BIN * _BIN
    bins = np.arange(low, everything.max() + _BIN + 1, _BIN)
    figure = new_figure(5.4)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    tallest = 0.0
    for channel, (axes, title) in enumerate(zip(panels, _CHANNELS, strict=True)):
        style_axes(axes, "", f"{title}: share of cells")
        for name, of_class in values.items():
            share = np.histogram(of_class[:, channel], bins)[0] / len(of_class)
            tallest = max(tallest, share.max())
            axes.stairs(share, bins, color=CLASS_COLORS[name], linewidth=2, label=name)
            axes.stairs(share, bins, color=CLASS_COLORS[name], fill=True, alpha=0.15)
        axes.yaxis.set_major_formatter(WHOLE_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    # Room for the legend.
    panels[0].set_ylim(0, 1.5 * tallest)
    legend(panels[0], "upper left")
    panels[-1].set_xlabel(f"mean of a cell (0 to {_LEVELS})", fontsize=TEXT, color=INK)
    return figure


@default_style
def patient_colours(colours: Mapping[str, ArrayLike]) -> Figure:
    """Stripes in the mean colour of each patient's cells, a row for each kind of patient.

    Parameters
    ----------
    colours : dict of str to array, shape (patients, 3)
        Mean red, green and blue of each patient, 0 to 255; for example ``{"infected": ..., "healthy": ...}``. Each row
        is sorted from red to blue.

    Raises
    ------
    ValueError
        If an array is not (patients, 3), or outside 0 to 255.
    """
    figure = new_figure(0.1 + 1.0 * len(colours))
    rows = figure.subplots(len(colours), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, colours.items(), strict=True):
        levels = np.asarray(values, dtype=float)
        proper = levels.ndim == 2 and levels.shape[1] == 3 and len(levels)
        if not proper or levels.min() < 0 or levels.max() > _LEVELS:
            raise ValueError(f"Colours of {name} must have the shape (patients, 3), between 0 and {_LEVELS}.")
        order = np.argsort(levels[:, 2] - levels[:, 0], kind="stable")
        axes.imshow(levels[order][None] / _LEVELS, aspect="auto", interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(GRID)
        axes.set_title(format_count(len(levels), f"{name} patient"), loc="left", fontsize=TEXT, color=INK)
    return figure


@default_style
def class_images(
    means: Mapping[str, NDArray[np.generic]], spreads: Mapping[str, NDArray[np.generic]]
) -> Figure:
    """Mean and standard deviation images of two classes, and the difference between the classes.

    Parameters
    ----------
    means, spreads : dict of class name to array (H, W, 3), float in [0, 1]
        The same two classes in the same order. Standard deviations are brightened by the same factor. The difference
        is that of the mean over the channels, in the colour of the class where it is higher; the largest difference
        is written above it.

    Raises
    ------
    ValueError
        If there are not two classes, or their names or shapes differ.
    """
    shapes = {picture.shape for picture in [*means.values(), *spreads.values()]}
    if len(means) != 2 or list(means) != list(spreads) or len(shapes) != 1:
        raise ValueError(
            f"Means and standard deviations must be of the same two classes, in one shape; got {list(means)} and "
            f"{list(spreads)} of {sorted(shapes)}."
        )
    brightest = max(float(np.max(spread)) for spread in spreads.values()) or 1.0
    tile = (WIDTH - 4 * GAP) / 3
    title_height = 1.6 * TEXT / 72
    height = 2 * (tile + 2 * title_height + GAP) + GAP
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    first, second = means
    # An odd number of tints has a white one in the middle.
    ends = [CLASS_COLORS[second], "white", CLASS_COLORS[first]]
    tints = LinearSegmentedColormap.from_list("classes", ends, N=255)
    for row, (name, pictures, scale) in enumerate((("mean", means, 1.0), (_SPREAD, spreads, brightest))):
        difference = _LEVELS * (np.asarray(pictures[first]) - pictures[second]).mean(axis=2)
        strongest = np.abs(difference).max()
        headings = (first, second, f"up to {strongest:.1f} levels")
        bottom = height - (row + 1) * (tile + 2 * title_height + GAP)
        for column, heading in enumerate(headings):
            left = GAP + column * (tile + GAP)
            axes = figure.add_axes((left / WIDTH, bottom / height, tile / WIDTH, tile / height))
            if column < 2:
                axes.imshow(np.asarray(pictures[heading]) / scale)
            else:
                axes.imshow(difference, cmap=tints, vmin=-(strongest or 1), vmax=strongest or 1)
            axes.set(xticks=[], yticks=[])
            named = {**CLASS_COLORS, headings[2]: GRID}
            axes.spines[:].set(color=named[heading], linewidth=2.5)
            axes.set_title(heading, loc="left", fontsize=TEXT, color=INK, pad=4)
        above = (bottom + tile + 1.35 * title_height) / height
        for column, text in ((0, name), (2, "difference")):
            left = GAP + column * (tile + GAP)
            figure.text(left / WIDTH, above, text, va="baseline", fontsize=TEXT, color=INK, weight="bold")
    return figure
