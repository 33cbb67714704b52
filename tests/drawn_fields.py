"""Drawn fields of a thin smear with known outlines, for tests without real photographs and for the notebook."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL, WHITE_CELL
from malaria_detect.fields.polygon import mask_of
from tests.drawn import STAINS, draw_cell

BACKGROUND = (226, 214, 219)
NUCLEUS = (96, 58, 142)
_CORNERS = 64
# Of the diameter of a red cell: no outline comes nearer to another one.
_GAP = 0.06


@dataclass(frozen=True)
class Drawn:
    """What a drawn field is made of.

    Attributes
    ----------
    cells : int
        Red cells within the picture; further ones, cut by its edge, are `on_edge`.
    parasitized : int
        How many of the red cells within the picture have a ring with a dark dot.
    on_edge : int
        Red cells that touch the edge of the picture.
    white_cells : int
        White cells: larger, with a dark nucleus.
    diameter : float
        Median diameter of a red cell in px; 40 cells of a tenth of the width fit into a picture.
    size : tuple of int
        Width and height of the picture in px.
    """

    cells: int = 30
    parasitized: int = 3
    on_edge: int = 4
    white_cells: int = 1
    diameter: float = 60.0
    size: tuple[int, int] = (640, 480)


def drawn_field(seed: int, drawn: Drawn = Drawn()) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """Draw a field; the same seed gives the same pixels.

    Returns
    -------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
    outlines : list of numpy.ndarray, float32, shape (n, 2)
        As of `FoundCell`: within the picture, so those of cells on the edge end there. Cells on the edge come first,
        then white cells, parasitized and uninfected ones.
    kinds : list of str
        ``Parasitized``, ``Uninfected`` (also those on the edge) or ``white cell``, one for each outline.

    Examples
    --------
    >>> pixels, outlines, kinds = drawn_field(0)
    >>> pixels.shape, len(outlines), kinds.count("Parasitized"), kinds.count("white cell")
    ((480, 640, 3), 35, 3, 1)
    """
    rng = np.random.default_rng(seed)
    width, height = drawn.size
    pixels = _background(rng, width, height)
    placed: list[tuple[float, float, float]] = []
    outlines, kinds = [], []
    for kind, on_edge, number in (
        (CLASSES[1], True, drawn.on_edge),
        (WHITE_CELL, False, drawn.white_cells),
        (CLASSES[0], False, drawn.parasitized),
        (CLASSES[1], False, drawn.cells - drawn.parasitized),
    ):
        for _ in range(number):
            radius = (
                drawn.diameter
                / 2
                * (rng.uniform(1.3, 1.5) if kind == WHITE_CELL else rng.uniform(0.92, 1.08))
            )
            x, y = _place(rng, placed, radius, drawn, on_edge)
            placed.append((x, y, radius))
            outline = _outline(rng, x, y, radius)
            _stain(rng, pixels, outline, (x, y, radius), kind)
            outlines.append(_within(outline, width, height))
            kinds.append(kind)
    noisy = ndimage.gaussian_filter(pixels, (0.6, 0.6, 0)) + rng.normal(0, 1.5, pixels.shape)
    return noisy.clip(0, 255).round().astype(np.uint8), outlines, kinds


def draw_fields(folder: Path, seeds: Iterable[int], drawn: Drawn = Drawn()) -> None:
    """Write drawn fields to a new folder as PNG files."""
    folder.mkdir(parents=True)
    for seed in seeds:
        Image.fromarray(drawn_field(seed, drawn)[0]).save(folder / f"field {seed}.png")


def red_or_white(kind: str) -> str:
    """Kind of a `FoundCell` for a kind of `drawn_field`."""
    return RED_CELL if kind in CLASSES else kind


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Blank smear, darker to the corners."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - rng.uniform(0.02, 0.06) * (x**2 + y**2)
    return np.asarray(BACKGROUND, float) * light[..., None]


def _place(
    rng: np.random.Generator,
    placed: list[tuple[float, float, float]],
    radius: float,
    drawn: Drawn,
    on_edge: bool,
) -> tuple[float, float]:
    """A free place for a cell."""
    width, height = drawn.size
    gap = _GAP * drawn.diameter
    for _ in range(5000):
        x, y = (
            rng.uniform(radius + gap, width - radius - gap),
            rng.uniform(radius + gap, height - radius - gap),
        )
        if on_edge:
            depth = rng.uniform(-0.4, 0.4) * radius
            x, y = ((depth, y), (width - depth, y), (x, depth), (x, height - depth))[rng.integers(4)]
        if all(np.hypot(x - a, y - b) > radius + other + gap for a, b, other in placed):
            return float(x), float(y)
    raise ValueError("the field is too full: draw fewer or smaller cells")


def _outline(rng: np.random.Generator, x: float, y: float, radius: float) -> np.ndarray:
    """A nearly round polygon, at most `radius` from its centre."""
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    waves = 0.03 * np.sin(2 * angle + rng.uniform(0, 2 * np.pi)) + 0.02 * np.sin(
        3 * angle + rng.uniform(0, 2 * np.pi)
    )
    distance = radius * (0.95 + waves)
    return np.stack([x + distance * np.cos(angle), y + distance * np.sin(angle)], axis=1)


def _within(outline: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of a polygon within the picture; of a round cell, clipping each corner is enough."""
    clipped = np.clip(outline, 0, (width, height)).astype(np.float32)
    keep = np.any(clipped != np.roll(clipped, 1, axis=0), axis=1)
    return clipped[keep]


def _stain(
    rng: np.random.Generator,
    pixels: np.ndarray,
    outline: np.ndarray,
    circle: tuple[float, float, float],
    kind: str,
) -> None:
    """Draw a cell into the picture: the face of a drawn single cell within its outline, or a nucleus."""
    x, y, radius = circle
    height, width = pixels.shape[:2]
    left, top, side = int(np.floor(x - radius)), int(np.floor(y - radius)), int(np.ceil(2 * radius)) + 1
    inside = mask_of(outline - (left, top), (side, side))
    if kind == WHITE_CELL:
        down, right = np.mgrid[:side, :side] + 0.5
        nucleus = np.hypot(right + left - x, down + top - y) < 0.7 * radius
        face = np.where(nucleus[..., None], NUCLEUS, (205, 188, 214)).astype(float)
    else:
        cell = draw_cell(rng, kind == CLASSES[0], STAINS[0])
        # Beyond its own outline a drawn cell is black, so its face is taken from a little within it.
        edge = round(0.04 * min(cell.size))
        box = (edge, edge, cell.width - edge, cell.height - edge)
        face = np.asarray(cell.resize((side, side), Image.Resampling.BILINEAR, box), float)
        face[face.sum(axis=2) < 120] = np.asarray(STAINS[0], float) - 5
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    shown = inside[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    part = face[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    pixels[rows, columns][shown] = part[shown]
