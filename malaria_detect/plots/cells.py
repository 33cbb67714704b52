"""Figures of cells: pictures side by side, sizes, counts."""

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from malaria_detect.metrics.formatting import format_percent
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GRID,
    INK,
    TEXT,
    drawn,
    new_figure,
    note,
    style_axes,
    with_commas,
)

# Inches: the side of one cell in a grid, wide enough for "Parasitized" above it, and the gap beside it.
TILE = 1.05
GAP = 0.12

Picture = Image.Image | NDArray[np.generic]
_CLASS_NAME = re.compile("|".join(CLASS_COLORS))


@drawn
def cell_grid(images: Sequence[Picture], titles: Sequence[str], columns: int = 8) -> Figure:
    """Lay cells out in a grid, each with a title and framed in the colour of the class that its title names first.

    Parameters
    ----------
    images : sequence of PIL images or arrays (H, W, 3), uint8 or float in [0, 1]
        Of any size; each is shown whole, on a black square.
    titles : sequence of str
        One for each image; folded to the width of its picture.
    columns : int
        Cells in a row. Type keeps its size, so a grid for a telephone has 4.

    Raises
    ------
    ValueError
        When images and titles are not as many, there are none, or float pictures leave [0, 1].
    """
    return _mosaic(images, titles, columns, TILE)


@drawn
def mean_images(means: Mapping[str, NDArray[np.generic]]) -> Figure:
    """Show the mean picture of each class side by side.

    Parameters
    ----------
    means : dict of class name to array (H, W, 3), uint8 or float in [0, 1]
    """
    return _mosaic(list(means.values()), list(means), len(means), 2.5)


@drawn
def top_losses(images: Sequence[Picture], titles: Sequence[str]) -> Figure:
    """Show the cells on which the model is most wrong, four in a row, framed in the colour named first.

    Parameters
    ----------
    images, titles
        As for `cell_grid`; a title names the label before the call.
    """
    return _mosaic(images, titles, 4, 1.5)


@drawn
def size_histogram(sides: Mapping[str, ArrayLike]) -> Figure:
    """Draw how large the cells' pictures are, a panel for each class.

    Parameters
    ----------
    sides : dict of class name to array of int, shape (N,)
        The longer side of each picture, in pixels.
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
        axes.yaxis.set_major_formatter(FuncFormatter(with_commas))
    panels[-1].set_xlabel("longer side (px)", fontsize=TEXT, color=INK)
    return figure


@drawn
def class_counts(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw how many cells of each class there are, in all or on each side of a split.

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


@drawn
def patient_counts(parasitized: ArrayLike, uninfected: ArrayLike) -> Figure:
    """Draw how many cells each patient gave: infected patients first, then the healthy, most cells first.

    Parameters
    ----------
    parasitized, uninfected : array of int, shape (patients,)
        Cells of each class that a patient group holds.
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
        # Stairs, not bars: two hundred bars show seams between them.
        axes.stairs(below + cells, edges, baseline=below, fill=True, color=CLASS_COLORS[name], label=name)
        below = below + cells
    most = below.max()
    axes.set(xlim=(0, len(order)), xticks=[], ylim=(0, 1.45 * most))
    for line, (name, cells) in enumerate((("Parasitized", sick), ("Uninfected", healthy))):
        patients = np.count_nonzero(cells)
        text = f"{name}: {cells.sum():,} cells of {patients:,} patients"
        height = (1.36 - 0.12 * line) * most
        axes.plot(0.04, height, "s", color=CLASS_COLORS[name], transform=axes.get_yaxis_transform())
        axes.text(
            0.08, height, text, va="center", transform=axes.get_yaxis_transform(), fontsize=TEXT, color=INK
        )
    return figure


def _mosaic(images: Sequence[Picture], titles: Sequence[str], columns: int, tile: float) -> Figure:
    if not images or len(images) != len(titles):
        raise ValueError(f"A grid needs a title for each picture; there are {len(images)} and {len(titles)}.")
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
        # File names may hold a dollar sign, which is no formula.
        axes.set_title(title, loc="left", fontsize=TEXT, color=INK, pad=4, parse_math=False)
        named = _CLASS_NAME.search(title)
        axes.spines[:].set(color=CLASS_COLORS[named.group()] if named else GRID, linewidth=2.5)
    return figure


def fold(title: str, width: float) -> str:
    """Break a title into lines of at most `width` points."""
    font = FontProperties(size=TEXT)
    lines = title.split("\n")
    for characters in range(max(map(len, lines)), 1, -1):
        lines = [line for part in title.split("\n") for line in textwrap.wrap(part, characters)]
        widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines]
        if max(widths, default=0) <= width:
            break
    return "\n".join(lines)


def _on_square(image: Picture) -> NDArray[np.generic]:
    """Put a picture on a black square, as the network sees it."""
    pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"A picture of floats must lie between 0 and 1; this one goes from {pixels.min()} to {pixels.max()}."
        )
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), pixels.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
