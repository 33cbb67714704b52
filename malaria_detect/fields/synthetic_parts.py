"""Cells and other parts on the canvas of a synthetic field: red cells, white cells, platelets and debris."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from malaria_detect.fields.cell import PLATELET, RED_CELL, WHITE_CELL
from malaria_detect.fields.cut_outs import DIRECTIONS, CutOut, blob
from malaria_detect.fields.synthetic_look import Look, smooth_noise

_COSINES, _SINES = np.cos(DIRECTIONS), np.sin(DIRECTIONS)


@dataclass(frozen=True, eq=False)
class Part:
    """A cell in its place; `corners` are its outline in px, shape (64, 2)."""

    x: float
    y: float
    corners: np.ndarray
    kind: str


class Canvas:
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


def red_cell(
    random: np.random.Generator,
    canvas: Canvas,
    look: Look,
    cut_outs: Sequence[CutOut],
    place: tuple[float, float, float],
) -> Part:
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
    part = Part(x, y, corners + np.array([x, y]), RED_CELL)
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


def _depth(part: Part, window: tuple[slice, slice], soft: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel of a window from the centre, relative to the outline, and how much the part covers it."""
    across = np.arange(window[1].start, window[1].stop) + 0.5 - part.x
    down = np.arange(window[0].start, window[0].stop) + 0.5 - part.y
    distance = np.hypot(across[None, :], down[:, None])
    radius = _radius_at(part, np.arctan2(down[:, None], across[None, :]))
    return distance / radius, np.clip((radius - distance) / soft + 0.5, 0, 1)


def _radius_at(part: Part, angles: np.ndarray) -> np.ndarray:
    """Distance of the outline from the centre at some angles."""
    from_centre = part.corners - (part.x, part.y)
    own = np.arctan2(from_centre[:, 1], from_centre[:, 0])
    order = np.argsort(own)
    distances = np.hypot(*from_centre.T)[order]
    radius: np.ndarray = np.interp(angles, own[order], distances, period=2 * np.pi)
    return np.maximum(radius, 0.5)


def white_cell(
    random: np.random.Generator, canvas: Canvas, look: Look, place: tuple[float, float, float]
) -> Part:
    """Add a white cell: pale cytoplasm around a nucleus of one to five lobes."""
    x, y, diameter = place
    size = diameter / 2 * random.uniform(1.1, 2.3)
    radii = blob(random, 0.12) * size
    part = Part(x, y, np.column_stack([x + _COSINES * radii, y + _SINES * radii]), WHITE_CELL)
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


def small_thing(
    random: np.random.Generator, canvas: Canvas, look: Look, place: tuple[float, float, float]
) -> Part:
    """Add a platelet, or a stain deposit, which looks much like one."""
    x, y, diameter = place
    size = diameter / 2 * random.uniform(0.12, 0.45)
    radii = blob(random, 0.35) * size
    part = Part(x, y, np.column_stack([x + _COSINES * radii, y + _SINES * radii]), PLATELET)
    window = canvas.window(x, y, float(radii.max()) * 1.2 + 2)
    if window is not None:
        depth, cover = _depth(part, window, soft=max(1.0, size * random.uniform(0.1, 0.8)))
        grain = smooth_noise(random, depth.shape, max(1.5, size * 0.4))
        strength = np.clip(1 + random.uniform(0, 0.7) * grain, 0.1, None)[..., None]
        colour = look.nucleus if random.random() < 0.8 else np.full(3, random.uniform(0.5, 2))
        canvas.add(window, (strength * colour * random.uniform(0.3, 1.2)).astype(np.float32), cover, 1.0)
    return part
