"""Cells side by side, their sizes and their numbers."""

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from malaria_detect.metrics.formatting import format_percent
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID,
    INK,
    TEXT,
    default_style,
    legend,
    new_figure,
    note,
    style_axes,
)

# Inches: the side of one cell in a grid, wide enough for "Parasitized", and the gap beside it.
TILE = 1.05
GAP = 0.12

Picture = Image.Image | NDArray[np.generic]
_CLASS_NAME = re.compile("|".join(CLASS_COLORS))


@default_style
def cell_grid(images: Sequence[Picture], titles: Sequence[str], columns: int = 8) -> Figure:
    """Grid of cells, each framed in the colour of the class that its title names first.

    Parameters
    ----------
    images : sequence of PIL images or arrays (H, W, 3), uint8 or float in [0, 1]
        Of any size; each is shown whole, on a black square.
    titles : sequence of str
        One for each image; long ones are broken into lines.
    columns : int
        Cells in a row; 4 are readable on a phone.

    Raises
    ------
    ValueError
        If there are no images, the number of titles differs, or float images are outside [0, 1].
    """
    return _mosaic(images, titles, columns, TILE)


@default_style
def mean_images(means: Mapping[str, NDArray[np.generic]]) -> Figure:
    """Mean image of each class, side by side.

    Parameters
    ----------
    means : dict of class name to array (H, W, 3), uint8 or float in [0, 1]
    """
    return _mosaic(list(means.values()), list(means), len(means), 2.5)


@default_style
def top_losses(images: Sequence[Picture], titles: Sequence[str]) -> Figure:
    """Cells with the highest loss, four in a row, framed in the colour of the class named first.

    Parameters
    ----------
    images, titles
        As for `cell_grid`; a title names the label before the decision.
    """
    return _mosaic(images, titles, 4, 1.5)


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
    tallest = max(np.histogram(values, bins)[0].max() for values in pixels.values())
    panels = figure.subplots(len(pixels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, pixels.items(), strict=True):
        style_axes(axes, "", f"{name}: {len(values):,} cells")
        axes.hist(values, bins=bins, color=CLASS_COLORS[name], edgecolor="white", linewidth=0.5)
        median = float(np.median(values))
        axes.set_ylim(0, 1.3 * tallest)
        axes.axvline(median, color=INK, linewidth=1.2)
        note(axes, f"median {median:.0f} px", (median, 1.3 * tallest), (6, -14))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
    panels[-1].set_xlabel("longer side (px)", fontsize=TEXT, color=INK)
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
        axes.text(0, 3 * row, name, va="center", fontsize=TEXT, weight="bold", color=INK)
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
    legend(axes, "upper left")
    return figure


def _mosaic(images: Sequence[Picture], titles: Sequence[str], columns: int, tile: float) -> Figure:
    if not images or len(images) != len(titles):
        raise ValueError(
            f"A grid needs one title for each image; got {len(images)} images and {len(titles)} titles."
        )
    folded = [fold(title, 72 * tile) for title in titles]
    line_height = 1.25 * TEXT / 72
    title_height = 0.06 + line_height * max(title.count("\n") + 1 for title in folded)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    width = columns * (tile + GAP) + GAP
    height = rows * (tile + title_height + GAP)
    figure = Figure(figsize=(width, height), facecolor="white")
    for place, (image, title) in enumerate(zip(images, folded, strict=True)):
        row, column = divmod(place, columns)
        left = GAP + column * (tile + GAP)
        bottom = height - (row + 1) * (tile + title_height + GAP) + GAP
        axes = figure.add_axes((left / width, bottom / height, tile / width, tile / height))
        axes.imshow(_on_square(image))
        axes.set(xticks=[], yticks=[])
        # A dollar sign in a file name does not start a formula.
        axes.set_title(title, loc="left", fontsize=TEXT, color=INK, pad=4, parse_math=False)
        named = _CLASS_NAME.search(title)
        axes.spines[:].set(color=CLASS_COLORS[named.group()] if named else GRID, linewidth=2.5)
    return figure


def fold(title: str, width: float) -> str:
    """A title broken into lines of at most `width` points."""
    font = FontProperties(size=TEXT)
    lines = title.split("\n")
    for characters in range(max(map(len, lines)), 1, -1):
        lines = [line for part in title.split("\n") for line in textwrap.wrap(part, characters)]
        widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines]
        if max(widths, default=0) <= width:
            break
    return "\n".join(lines)


def _on_square(image: Picture) -> NDArray[np.generic]:
    """An image on a black square, as the network sees it."""
    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"A float image must be between 0 and 1; this one is between {pixels.min()} and {pixels.max()}."
        )
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), pixels.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
