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
from PIL import Image

from malaria_detect.fields.cell import PLATELET, RED_CELL, WHITE_CELL, FoundCell
from malaria_detect.fields.cut_outs import DIRECTIONS, CutOut, SyntheticError, blob
from malaria_detect.fields.synthetic_look import Look, drawn_look, light, photographed, smooth_noise

_COSINES, _SINES = np.cos(DIRECTIONS), np.sin(DIRECTIONS)
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


@dataclass(frozen=True, eq=False)
class _Part:
    """A cell in its place; `corners` are its outline in px, shape (64, 2)."""

    x: float
    y: float
    corners: np.ndarray
    kind: str


class _Canvas:
    """Absorbance of a field, to which parts are added one by one."""

    def __init__(self, height: int, width: int) -> None:
        self.absorbance = np.zeros((height, width, 3), dtype=np.float32)

    def window(self, x: float, y: float, reach: float) -> tuple[slice, slice] | None:
        """Rows and columns of the canvas within `reach` px of a point; None if there are none."""
        height, width = self.absorbance.shape[:2]
        top, left = max(0, int(y - reach)), max(0, int(x - reach))
        bottom, right = min(height, int(y + reach) + 2), min(width, int(x + reach) + 2)
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None

    def add(
        self, window: tuple[slice, slice], absorbance: np.ndarray, cover: np.ndarray, overlap: float
    ) -> None:
        """Add absorbance (h, w, 3) under a cover (h, w) of 0 to 1; what is below stays by `overlap`."""
        below = self.absorbance[window]
        below *= (1 - (1 - overlap) * cover)[..., None]
        below += absorbance * cover[..., None]


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
    canvas = _Canvas(height, width)
    parts = []
    for x, y in _places(random, settings, diameter, coverage):
        parts.append(_red_cell(random, canvas, look, cut_outs, (x, y, diameter)))
    for kind, share in ((WHITE_CELL, 0.012), (PLATELET, 0.05), ("debris", 0.05)):
        for _ in range(random.poisson(share * random.exponential() * (len(parts) + 4))):
            place = float(random.uniform(0, width)), float(random.uniform(0, height)), diameter
            draw = _white_cell if kind == WHITE_CELL else _small_thing
            part = draw(random, canvas, look, place)
            if kind != "debris":
                parts.append(_Part(part.x, part.y, part.corners, kind))
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


def _red_cell(
    random: np.random.Generator,
    canvas: _Canvas,
    look: Look,
    cut_outs: Sequence[CutOut],
    place: tuple[float, float, float],
) -> _Part:
    """Add a cell cut out of a real field: turned, stretched and stained in the look of this one."""
    x, y, diameter = place
    cut = cut_outs[int(random.integers(len(cut_outs)))]
    kind = random.random()
    radii = cut.radii / cut.radii.mean()
    if kind < 0.12:
        radii = blob(random, 0.25)
    elif kind < 0.16:
        spikes = random.integers(8, 15)
        radii = radii * (1 + random.uniform(0.04, 0.12) * np.cos(spikes * DIRECTIONS))
    stretch = np.exp(abs(random.normal(0, 0.08)) if random.random() < 0.9 else random.uniform(0.1, 0.3))
    size = diameter / 2 * np.exp(random.normal(0, 0.09))
    turn, first = random.uniform(0, 2 * np.pi, 2)
    shape = _rotation(turn) @ np.diag([stretch, 1 / stretch]) @ _rotation(first) * size
    corners = np.column_stack([_COSINES * radii, _SINES * radii]) @ shape.T
    part = _Part(x, y, corners + np.array([x, y]), RED_CELL)
    window = canvas.window(x, y, float(np.abs(corners).max()) + 2)
    if window is None:
        return part
    depth, cover = _depth(part, window)
    thickness = 1 - look.pallor * random.uniform(0.6, 1.2) * np.exp(-((depth / look.pallor_width) ** 2))
    thickness += look.rim * np.exp(-(((depth - 0.85) / 0.12) ** 2))
    if random.random() < 0.03:
        thickness += random.uniform(0.2, 0.6) * np.exp(-((depth / 0.25) ** 2))  # a target cell
    absorbance = np.clip(thickness, 0.03, None)[..., None] * look.stain * random.uniform(0.75, 1.25)
    texture = _texture(cut, shape * cut.radii.mean() ** -1, window, (x, y))
    absorbance = absorbance + look.texture * (texture @ look.mixing)
    if random.random() < 0.05:
        # A cell filled by a large parasite.
        grain = smooth_noise(random, depth.shape, diameter * random.uniform(0.04, 0.15))
        absorbance += (np.clip(grain + 0.3, 0, 1) * random.uniform(0.3, 1.0))[..., None] * look.nucleus
    canvas.add(window, np.clip(absorbance, 0, None), cover, look.overlap)
    return part


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _texture(
    cut: CutOut, shape: np.ndarray, window: tuple[slice, slice], centre: tuple[float, float]
) -> np.ndarray:
    """Absorbance of the cut-out in a window of the field, float32, shape (h, w, 3)."""
    picture = cut.picture
    scale = np.sqrt(abs(np.linalg.det(shape)))
    while picture.width > max(16, 3 * scale):
        picture = picture.reduce(2)
    half = picture.width / 2
    inverse = np.linalg.inv(shape) * half
    top, left = window[0].start, window[1].start
    start = half + inverse @ (left - centre[0], top - centre[1])
    size = window[1].stop - left, window[0].stop - top
    moved = picture.transform(
        size,
        Image.Transform.AFFINE,
        (inverse[0, 0], inverse[0, 1], start[0], inverse[1, 0], inverse[1, 1], start[1]),
        Image.Resampling.BILINEAR,
        fillcolor=(255, 255, 255),
    )
    return _ABSORBANCE[np.asarray(moved)]


# Of a transmittance of 0 to 255.
_ABSORBANCE = -np.log(np.maximum(np.arange(256), 8) / 255).astype(np.float32)


def _depth(part: _Part, window: tuple[slice, slice], soft: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel of a window from the centre, relative to the outline, and how much the part covers it."""
    across = np.arange(window[1].start, window[1].stop) + 0.5 - part.x
    down = np.arange(window[0].start, window[0].stop) + 0.5 - part.y
    distance = np.hypot(across[None, :], down[:, None])
    radius = _radius_at(part, np.arctan2(down[:, None], across[None, :]))
    return distance / radius, np.clip((radius - distance) / soft + 0.5, 0, 1)


def _radius_at(part: _Part, angles: np.ndarray) -> np.ndarray:
    """Distance of the outline from the centre at some angles."""
    from_centre = part.corners - (part.x, part.y)
    own = np.arctan2(from_centre[:, 1], from_centre[:, 0])
    order = np.argsort(own)
    distances = np.hypot(*from_centre.T)[order]
    radius: np.ndarray = np.interp(angles, own[order], distances, period=2 * np.pi)
    return np.maximum(radius, 0.5)


def _white_cell(
    random: np.random.Generator, canvas: _Canvas, look: Look, place: tuple[float, float, float]
) -> _Part:
    """Add a white cell: pale cytoplasm around a nucleus of one to five lobes."""
    x, y, diameter = place
    size = diameter / 2 * random.uniform(1.1, 2.3)
    radii = blob(random, 0.12) * size
    part = _Part(x, y, np.column_stack([x + _COSINES * radii, y + _SINES * radii]), WHITE_CELL)
    window = canvas.window(x, y, float(radii.max()) + 2)
    if window is None:
        return part
    depth, cover = _depth(part, window)
    lobes = int(random.integers(1, 6))
    across = np.arange(window[1].start, window[1].stop) + 0.5 - x
    down = np.arange(window[0].start, window[0].stop) + 0.5 - y
    nucleus = np.zeros(depth.shape)
    lobe_size = size * (random.uniform(0.6, 0.92) if lobes == 1 else random.uniform(0.28, 0.5))
    start = random.uniform(0, 2 * np.pi)
    for lobe in range(lobes):
        angle = start + lobe * random.uniform(0.8, 1.4)
        away = 0.1 * size if lobes == 1 else size * random.uniform(0.3, 0.55)
        distance = np.hypot(across[None] - away * np.cos(angle), down[:, None] - away * np.sin(angle))
        nucleus = np.maximum(nucleus, np.clip((lobe_size - distance) / max(1.0, 0.1 * lobe_size), 0, 1))
    grain = smooth_noise(random, depth.shape, max(1.5, size * random.uniform(0.05, 0.2)))
    cytoplasm = random.uniform(0.05, 0.6) * look.nucleus * random.uniform(0.5, 1.2, 3)
    absorbance = (1 + random.uniform(0, 0.8) * grain)[..., None] * cytoplasm
    absorbance = absorbance + (nucleus * (1 + 0.25 * grain))[..., None] * look.nucleus * random.uniform(
        0.9, 1.6
    )
    canvas.add(window, np.clip(absorbance, 0, None).astype(np.float32), cover, 0.1)
    return part


def _small_thing(
    random: np.random.Generator, canvas: _Canvas, look: Look, place: tuple[float, float, float]
) -> _Part:
    """Add a platelet, or a stain deposit, which looks much like one."""
    x, y, diameter = place
    size = diameter / 2 * random.uniform(0.12, 0.45)
    radii = blob(random, 0.35) * size
    part = _Part(x, y, np.column_stack([x + _COSINES * radii, y + _SINES * radii]), PLATELET)
    window = canvas.window(x, y, float(radii.max()) * 1.2 + 2)
    if window is not None:
        depth, cover = _depth(part, window, soft=max(1.0, size * random.uniform(0.1, 0.8)))
        grain = smooth_noise(random, depth.shape, max(1.5, size * 0.4))
        strength = np.clip(1 + random.uniform(0, 0.7) * grain, 0.1, None)[..., None]
        colour = look.nucleus if random.random() < 0.8 else np.full(3, random.uniform(0.5, 2))
        canvas.add(window, (strength * colour * random.uniform(0.3, 1.2)).astype(np.float32), cover, 1.0)
    return part


def _visible_cells(
    parts: Sequence[_Part], height: int, width: int, rim: tuple[float, float, float] | None
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
