"""Cells side by side: single ones, and the mean of each class."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from malaria_detect.plots.style import CLASS_COLORS, GRID_COLOR, TEXT, default_style, fold

# Inches: the side of one cell in a grid, wide enough for "Parasitized", and the gap beside it.
TILE = 1.05
GAP = 0.12
LEVELS = 255

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
        If there are no images, or the number of titles differs.
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
    """
    first, second = means
    # An odd number of tints has a white one in the middle.
    ends = [CLASS_COLORS[second], "white", CLASS_COLORS[first]]
    tints = LinearSegmentedColormap.from_list("classes", ends, N=255)
    images: list[Picture] = []
    titles = []
    for kind, pictures in (("mean", means), ("standard deviation", spreads)):
        brightest = 1.0 if kind == "mean" else max(float(np.max(one)) for one in pictures.values()) or 1.0
        difference = LEVELS * (np.asarray(pictures[first]) - pictures[second]).mean(axis=2)
        strongest = float(np.abs(difference).max())
        images += [np.asarray(pictures[name]) / brightest for name in means]
        images.append(tints(0.5 + difference / (2 * strongest or 1))[..., :3])
        titles += [f"{first}\n{kind}", f"{second}\n{kind}", f"difference\nup to {strongest:.1f} levels"]
    return _mosaic(images, titles, 3, 1.64)


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
        _show(axes, image)
        axes.set(xticks=[], yticks=[])
        # A dollar sign in a file name does not start a formula.
        axes.set_title(title, pad=4, parse_math=False)
        named = _CLASS_NAME.search(title)
        color = CLASS_COLORS[named.group()] if named else GRID_COLOR
        axes.spines[:].set(color=color, linewidth=2.5, visible=True)
    return figure


def _show(axes: Axes, image: Picture) -> None:
    """Draw an image whole on a black square, as the network sees it."""
    pixels = np.asarray(image)
    axes.imshow(pixels)
    height, width = pixels.shape[:2]
    center, half = np.array((width - 1, height - 1)) / 2, max(height, width) / 2
    axes.set(xlim=center[0] + (-half, half), ylim=center[1] + (half, -half), facecolor="black")
