"""Synthetic fields: cells with known outlines on drawn smear, for training and testing a cell finder.

Red-cell segmentation can be trained without hand-drawn outlines if cells with exact masks are put together to fields
[1]_. The cells come from NLM's images, whose black background is the exact mask; everything else is drawn.

References
----------
.. [1] L. Koopmans et al., Synthetic images for the segmentation of red blood cells, iScience 26 (2023) 108542.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malaria_detect.fields.cell import PLATELET, WHITE_CELL, FoundCell
from malaria_detect.fields.cut_outs import CutOut, SyntheticError
from malaria_detect.fields.synthetic_look import drawn_look, light, photographed
from malaria_detect.fields.synthetic_parts import Canvas, Part, red_cell, small_thing, white_cell

# Of a cell cut by the edge: with less than this share visible, nobody can say whether it is a cell.
_VISIBLE = 0.2


@dataclass(frozen=True)
class FieldSettings:
    """What a synthetic field shows; what is None is drawn at random.

    Attributes
    ----------
    width, height : int
        Of the picture in px, 64 to 8,000.
    cell_diameter : float or None
        Of its red cells in px, 8 to 400; they vary around it.
    coverage : float or None
        Area of all cells over the area of the picture, 0.02 to 1.2.
    eyepiece : bool or None
        Whether the picture shows a round view on black.
    """

    width: int = 960
    height: int = 720
    cell_diameter: float | None = None
    coverage: float | None = None
    eyepiece: bool | None = None

    def __post_init__(self) -> None:
        limits = {
            "width": (64, 8000),
            "height": (64, 8000),
            "cell_diameter": (8, 400),
            "coverage": (0.02, 1.2),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SyntheticError(
                    f"The {name.replace('_', ' ')} must be between {low} and {high:,}; got {value}.",
                    reason="setting",
                )


@dataclass(frozen=True, eq=False)
class SyntheticField:
    """A picture with its truth.

    Attributes
    ----------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
    cells : tuple of FoundCell
        All red cells, white cells and platelets, with the outline of their visible part. Outlines of overlapping cells
        overlap.
    ignored : numpy.ndarray, float, shape (n, 3)
        Centre (x, y) and radius in px of cells of which too little is visible to be counted.
    cell_diameter : float
        Of its red cells in px.
    """

    pixels: np.ndarray
    cells: tuple[FoundCell, ...]
    ignored: np.ndarray
    cell_diameter: float


def synthetic_field(
    cut_outs: Sequence[CutOut], seed: int, settings: FieldSettings | None = None
) -> SyntheticField:
    """A field with known cells; the same seed, settings and cut-outs give the same field.

    Parameters
    ----------
    cut_outs : sequence of CutOut
        Red cells to put together, from :func:`malaria_detect.fields.cut_outs.read_cut_outs`.
    seed : int
        0 or more.
    settings : FieldSettings, optional

    Raises
    ------
    SyntheticError
        If there is no cell to put together, or the seed is negative.

    Examples
    --------
    >>> from malaria_detect.fields.cut_outs import cut_out
    >>> y, x = np.mgrid[-50:50, -50:50]
    >>> disc = np.where(np.hypot(x, y)[..., None] < 40, [[200, 120, 160]], 0).astype(np.uint8)
    >>> field = synthetic_field([cut_out(disc, 64)], seed=3, settings=FieldSettings(320, 240, 40.0))
    >>> field.pixels.shape, field.cells[0].kind, field.cells[0].outline.shape
    ((240, 320, 3), 'red cell', (64, 2))
    """
    if not cut_outs:
        raise SyntheticError("A synthetic field needs at least one cell.", reason="no_cells")
    if seed < 0:
        raise SyntheticError(f"A seed must be 0 or more; got {seed}.", reason="setting")
    settings = settings or FieldSettings()
    random = np.random.default_rng(seed)
    height, width = settings.height, settings.width
    diameter = settings.cell_diameter or float(np.exp(random.uniform(np.log(0.03), np.log(0.18)))) * width
    coverage = settings.coverage or float(
        random.choice([random.uniform(0.05, 0.4), random.uniform(0.3, 1.0)])
    )
    rim = _rim(random, settings)
    look = drawn_look(random)
    canvas = Canvas(height, width)
    parts = []
    for x, y in _places(random, settings, diameter, coverage):
        parts.append(red_cell(random, canvas, look, cut_outs, (x, y, diameter)))
    for kind, share in ((WHITE_CELL, 0.012), (PLATELET, 0.05), ("debris", 0.05)):
        for _ in range(random.poisson(share * random.exponential() * (len(parts) + 4))):
            place = float(random.uniform(0, width)), float(random.uniform(0, height)), diameter
            draw = white_cell if kind == WHITE_CELL else small_thing
            part = draw(random, canvas, look, place)
            if kind != "debris":
                parts.append(Part(part.x, part.y, part.corners, kind))
    picture = (look.background * light(random, height, width)).astype(np.float32) * np.exp(-canvas.absorbance)
    pixels = photographed(random, picture, rim, max(0.35, diameter / 40))
    cells, ignored = _visible_cells(parts, height, width, rim)
    return SyntheticField(pixels, cells, ignored, diameter)


def _rim(random: np.random.Generator, settings: FieldSettings) -> tuple[float, float, float] | None:
    visible = random.random() < 0.25 if settings.eyepiece is None else settings.eyepiece
    if not visible:
        return None
    long = max(settings.width, settings.height)
    middle = np.array([settings.width, settings.height]) / 2
    if settings.eyepiece or random.random() < 0.3:
        off = random.uniform(-0.05, 0.05, 2) * long
        return (*(middle + off), random.uniform(0.38, 0.55) * long)
    # Only part of the rim is in the picture.
    radius = random.uniform(0.8, 2.5) * long
    angle = random.uniform(0, 2 * np.pi)
    away = radius - random.uniform(0, 0.45) * long
    return middle[0] + away * np.cos(angle), middle[1] + away * np.sin(angle), radius


def _places(
    random: np.random.Generator, settings: FieldSettings, diameter: float, coverage: float
) -> list[tuple[float, float]]:
    """Centres of the red cells, some of them next to or on another cell."""
    width, height = settings.width + 2 * diameter, settings.height + 2 * diameter
    wanted = max(1, round(coverage * width * height / (np.pi * diameter**2 / 4)))
    clumping, nearest = random.uniform(0, 0.8), random.uniform(0.42, 0.95)
    grid: dict[tuple[int, int], list[tuple[float, float]]] = {}
    places: list[tuple[float, float]] = []
    for _ in range(2 * wanted):
        if len(places) == wanted:
            break
        if places and random.random() < clumping:
            from_x, from_y = places[int(random.integers(len(places)))]
            angle, away = random.uniform(0, 2 * np.pi), diameter * random.uniform(nearest, 1.1)
            x, y = from_x + away * np.cos(angle), from_y + away * np.sin(angle)
        else:
            x, y = random.uniform(0, width) - diameter, random.uniform(0, height) - diameter
        key = int(x // diameter), int(y // diameter)
        around = [
            place
            for column in range(key[0] - 1, key[0] + 2)
            for row in range(key[1] - 1, key[1] + 2)
            for place in grid.get((column, row), ())
        ]
        if all((x - a) ** 2 + (y - b) ** 2 >= (nearest * diameter) ** 2 for a, b in around):
            places.append((x, y))
            grid.setdefault(key, []).append((x, y))
    return places


def _visible_cells(
    parts: Sequence[Part], height: int, width: int, rim: tuple[float, float, float] | None
) -> tuple[tuple[FoundCell, ...], np.ndarray]:
    """The parts with the outline of what the frame and the eyepiece leave of them, and those hardly visible."""
    cells, ignored = [], []
    for part in parts:
        corners = np.clip(part.corners, 0, (width, height))
        if rim is not None:
            away = corners - rim[:2]
            distance = np.maximum(np.hypot(*away.T), 1e-6)
            corners = rim[:2] + away * np.minimum(1, rim[2] / distance)[:, None]
            corners = np.clip(corners, 0, (width, height))
        whole, seen = _area(part.corners), _area(corners)
        if seen < 1:
            continue
        if seen < _VISIBLE * whole:
            middle = corners.mean(axis=0)
            ignored.append((*middle, np.hypot(*(corners - middle).T).max()))
            continue
        cut = bool(np.abs(corners - part.corners).max() > 0.25)
        cells.append(FoundCell(corners.astype(np.float32), 1.0, part.kind, cut))
    return tuple(cells), np.array(ignored, dtype=float).reshape(-1, 3)


def _area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
