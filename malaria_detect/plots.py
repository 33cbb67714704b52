"""Figures: numbers in, a matplotlib Figure out; no models, no files, no pyplot and no global settings.

One style everywhere: the colour-blind-safe palette of Okabe and Ito [1]_ (parasitized vermillion, uninfected blue),
labels beside what they name instead of legends, and type that can still be read when a figure is 360 px wide. What a
figure is called stands where it is shown: above it in the notebook or on the page.
A notebook shows a figure after ``%matplotlib inline``; a page takes :func:`to_svg`.

References
----------
.. [1] M. Okabe and K. Ito, Color Universal Design, 2002/2008, https://jfly.uni-koeln.de/color/
"""

import hashlib
import io
import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from itertools import groupby

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from malaria_detect.metrics import Scores
from malaria_detect.passport import Epoch

CLASS_COLORS = {"Parasitized": "#D55E00", "Uninfected": "#0072B2"}
INK = "#1F2328"
QUIET_INK = "#57606A"
GRID = "#D9DEE3"
BAND = "#F1F3F5"
# Of what is neither class; the other line of a figure is ink.
GREEN = "#009E73"

# At 5.4 inches (389 pt) 12 pt are 11 px on a page 360 px wide.
WIDTH = 5.4
TEXT = 12.0
# Inches: the side of one cell in a grid, wide enough for "Parasitized" above it, and the gap beside it.
TILE = 1.05
GAP = 0.12

Picture = Image.Image | NDArray[np.generic]
_CLASS_NAME = re.compile("|".join(CLASS_COLORS))
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"


def confusion_matrix(scores: Scores) -> Figure:
    """Draw the confusion matrix: cells and shares of each label, stronger colour for a greater share.

    Parameters
    ----------
    scores : Scores
        Of `malaria_detect.metrics.score`.
    """
    figure = _figure(3.5)
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
            fill = _blend(CLASS_COLORS[name], share / 2)
            axes.add_patch(Rectangle((column + 0.02, row + 0.02), 0.96, 0.96, facecolor=fill, edgecolor=GRID))
            middle = column + 0.5
            axes.text(middle, row + 0.42, f"{count:,}", ha="center", fontsize=20, weight="bold", color=INK)
            axes.text(middle, row + 0.64, _percent(share), ha="center", fontsize=TEXT, color=INK)
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
    figure = _figure(5.0)
    axes = figure.subplots()
    _style(axes, "false positive rate (1 − specificity)", "sensitivity (true positive rate)")
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
        _style(labelled, "", "the corner, enlarged")
        labelled.set(xlim=(-0.004, 0.2), ylim=(0.8, 1.004), xticks=[0, 0.1, 0.2], yticks=[0.8, 0.9, 1])
        labelled.set_facecolor("white")
        _draw_roc(labelled, scores)
    for line, text in enumerate(
        [
            f"threshold {scores.threshold:.3g}:",
            f"sensitivity {_percent(point[1])},",
            f"specificity {_percent(1 - point[0])}",
        ]
    ):
        _note(labelled, text, point, (10, -18 - 16 * line))
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


def mean_images(means: Mapping[str, NDArray[np.generic]]) -> Figure:
    """Show the mean picture of each class side by side.

    Parameters
    ----------
    means : dict of class name to array (H, W, 3), uint8 or float in [0, 1]
    """
    return _mosaic(list(means.values()), list(means), len(means), 2.5)


def top_losses(images: Sequence[Picture], titles: Sequence[str]) -> Figure:
    """Show the cells on which the model is most wrong, four in a row, framed in the colour named first.

    Parameters
    ----------
    images, titles
        As for `cell_grid`; a title names the label before the call.
    """
    return _mosaic(images, titles, 4, 1.5)


def size_histogram(sides: Mapping[str, ArrayLike]) -> Figure:
    """Draw how large the cells' pictures are, a panel for each class.

    Parameters
    ----------
    sides : dict of class name to array of int, shape (N,)
        The longer side of each picture, in pixels.
    """
    figure = _figure(3.9)
    pixels = {name: np.asarray(values) for name, values in sides.items()}
    everything = np.concatenate(list(pixels.values()))
    bins = np.arange(everything.min() // 10 * 10, everything.max() + 11, 10)
    tallest = max(np.histogram(values, bins)[0].max() for values in pixels.values())
    panels = figure.subplots(len(pixels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, pixels.items(), strict=True):
        _style(axes, "", f"{name}: {len(values):,} cells")
        axes.hist(values, bins=bins, color=CLASS_COLORS[name], edgecolor="white", linewidth=0.5)
        median = float(np.median(values))
        axes.set_ylim(0, 1.3 * tallest)
        axes.axvline(median, color=INK, linewidth=1.2)
        _note(axes, f"median {median:.0f} px", (median, 1.3 * tallest), (6, -14))
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(_with_commas))
    panels[-1].set_xlabel("longer side (px)", fontsize=TEXT, color=INK)
    return figure


def class_counts(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw how many cells of each class there are, in all or on each side of a split.

    Parameters
    ----------
    counts : dict of str to dict of class name to int
        For example ``{"training": {"Parasitized": 7900, "Uninfected": 7950}, "validation": ...}``.
    """
    figure = _figure(0.1 + 0.85 * len(counts))
    axes = figure.subplots()
    most = max(count for classes in counts.values() for count in classes.values())
    axes.set(xlim=(0, 1.75 * most), ylim=(3 * len(counts) - 0.4, -0.6))
    axes.axis("off")
    for row, (name, classes) in enumerate(counts.items()):
        axes.text(0, 3 * row, name, va="center", fontsize=TEXT, weight="bold", color=INK)
        total = sum(classes.values())
        for line, (label, count) in enumerate(classes.items(), start=3 * row + 1):
            axes.barh(line, count, height=0.86, color=CLASS_COLORS[label])
            _note(axes, f"{label} {count:,} ({_percent(count / total, 0)})", (count, line), (6, -4))
    return figure


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
    figure = _figure(3.5)
    axes = figure.subplots()
    _style(axes, "patients, one bar each", "cells")
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
    figure = _figure(3.3)
    axes = figure.subplots()
    _style(axes, "learning rate (log scale)", "training loss (nats per cell)")
    axes.plot(rates, values, color=GREEN, linewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_as_power))
    # Past its lowest point the loss explodes, and would flatten all that is worth seeing.
    lowest = int(np.nanargmin(values))
    low, high = float(values[lowest]), float(np.nanmax(values[: lowest + 1]))
    axes.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    axes.axvline(suggestion, color=INK, linewidth=1.2)
    # Under the plateau, where no curve comes.
    _note(axes, f"suggested {_as_power(suggestion)}", (suggestion, axes.get_ylim()[0]), (-6, 8), "right")
    return figure


def to_svg(figure: Figure, description: str) -> str:
    """Write a figure as SVG to be put into a page: readable aloud, as wide as its place, the same at every run.

    Text stays text: it is a tenth of the bytes of outlines, can be searched and translated, and takes the page's own
    type (``svg { font-family: ... }``). Room was measured with DejaVu Sans, which is wider than what pages use.

    Parameters
    ----------
    figure : Figure
        Of a function of this module.
    description : str
        What the figure says, for those who do not see it.

    Returns
    -------
    str
        One ``<svg>`` element, without prolog and without references to anything outside. Its ids begin with a digest
        of its contents, so that figures do not clash on a page.

    Raises
    ------
    ValueError
        When the description is empty.

    Examples
    --------
    >>> figure = class_counts({"all": {"Parasitized": 3, "Uninfected": 4}})
    >>> to_svg(figure, "Three parasitized and four uninfected cells.")[:4]
    '<svg'
    """
    if not description.strip():
        raise ValueError("A figure on a page needs a description, for those who do not see it; it is empty.")
    written = io.StringIO()
    # matplotlib's SVG writer takes these two from its settings only; they are put back at once.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "malaria_detect"}):
        # 200 dpi keep pictures of cells sharp; lines and type do not depend on it.
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", dpi=200, metadata=no_metadata)
    digest = hashlib.sha256((written.getvalue() + description).encode()).hexdigest()
    return _for_page(ElementTree.fromstring(written.getvalue()), description, f"figure-{digest[:10]}")


def _for_page(svg: ElementTree.Element, description: str, prefix: str) -> str:
    """Rewrite matplotlib's SVG document as an element of an HTML page."""
    markup = ElementTree.tostring(svg, encoding="unicode")
    referenced = set(re.findall(r'(?:href="#|url\(#)([^")]+)', markup))
    # matplotlib's style sheet would rule the whole page: its two rules stand on the element instead.
    svg.remove(svg[0])
    for element in svg.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        name = element.attrib.pop("id", None)
        link = element.attrib.pop(_LINK, None)
        for key, value in element.attrib.items():
            named = value.replace("url(#", f"url(#{prefix}-")
            element.set(key, re.sub(r"font-family: [^;]*;? ?", "", named))
        if name in referenced:
            element.set("id", f"{prefix}-{name}")
        if link is not None:
            # A picture's data are folded into lines, which became spaces.
            element.set("href", f"#{prefix}-{link[1:]}" if link[0] == "#" else link.replace(" ", ""))
    title = ElementTree.Element("title", {"id": f"{prefix}-title"})
    title.text = description
    svg.insert(0, title)
    width, height = svg.attrib["viewBox"].split()[2:]
    svg.attrib = {
        "xmlns": _SVG,
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
        "font-family": "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        "style": "display: block; width: 100%; height: auto",
    }
    return ElementTree.tostring(svg, encoding="unicode")


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")


def _style(axes: Axes, x_label: str, y_label: str) -> None:
    """Quiet axes; the y label lies above its axis, where it is read without turning the head."""
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK)
    axes.set_title(y_label, loc="left", fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, labelcolor=QUIET_INK, color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET_INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _note(
    axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float], side: str = "left"
) -> None:
    """Write one line of text at an offset in points, on a white ground that keeps lines out of it."""
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        ha=side,
        fontsize=TEXT,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        annotation_clip=False,
    )


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
    figure = _figure(3.4)
    axes = figure.subplots()
    _style(axes, "epoch (bands: side of the training pictures in px)", y_label)
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
        _note(axes, f"{name} {value:.3f}", (x, previous), (6, -4))


def _mosaic(images: Sequence[Picture], titles: Sequence[str], columns: int, tile: float) -> Figure:
    if not images or len(images) != len(titles):
        raise ValueError(f"A grid needs a title for each picture; there are {len(images)} and {len(titles)}.")
    folded = [_fold(title, 72 * tile) for title in titles]
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


def _fold(title: str, width: float) -> str:
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


def _blend(color: str, strength: float) -> tuple[float, ...]:
    """Mix a colour into white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))


def _percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def _with_commas(value: float, _: int | None) -> str:
    return f"{value:,.0f}"


def _as_power(value: float, _: int | None = None) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
