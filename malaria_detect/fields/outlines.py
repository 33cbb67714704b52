"""Star-shaped outlines: read from the maps of the network, freed of duplicates, and separated where they overlap."""

from dataclasses import dataclass

import numpy as np
import scipy

from malaria_detect.fields.cell import KINDS, PLATELET
from malaria_detect.fields.maps import RAY_ANGLES, RAYS, STRIDE, UNIT, Maps

_DIRECTIONS = np.column_stack([np.cos(RAY_ANGLES), np.sin(RAY_ANGLES)])
# Two outlines of one cell: they share this much of their union, or the less certain one lies this far in the other.
_SAME, _WITHIN = 0.4, 0.65
# Relative distances from the centre: the middles of six rings of equal area, and the outline.
_RINGS = np.append(np.sqrt((np.arange(6) + 0.5) / 6), 1.0)


@dataclass(frozen=True, eq=False)
class Stars:
    """Outlines of n cells; lengths in px.

    Attributes
    ----------
    centres : numpy.ndarray, float, shape (n, 2)
        x and y.
    radii : numpy.ndarray, float, shape (n, 32)
        Distance of the outline from the centre in the directions `malaria_detect.fields.maps.RAY_ANGLES`.
    scores : numpy.ndarray, float, shape (n,)
        Value of the centre map, 0 to 1.
    kinds : numpy.ndarray, int, shape (n,)
        Index into `malaria_detect.fields.cell.KINDS`.
    """

    centres: np.ndarray
    radii: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: np.ndarray) -> "Stars":
        return Stars(self.centres[chosen], self.radii[chosen], self.scores[chosen], self.kinds[chosen])

    @property
    def corners(self) -> np.ndarray:
        """Corners of the outlines, shape (n, 32, 2)."""
        corners: np.ndarray = self.centres[:, None] + self.radii[..., None] * _DIRECTIONS
        return corners

    @property
    def areas(self) -> np.ndarray:
        """Areas in square px, shape (n,)."""
        areas: np.ndarray = (
            0.5 * np.sin(2 * np.pi / RAYS) * (self.radii * np.roll(self.radii, 1, axis=1)).sum(axis=1)
        )
        return areas

    @property
    def diameters(self) -> np.ndarray:
        """Diameters of circles of the same area in px, shape (n,)."""
        diameters: np.ndarray = 2 * np.sqrt(self.areas / np.pi)
        return diameters

    def moved(self, scale: float, x: float = 0.0, y: float = 0.0) -> "Stars":
        """The same outlines, scaled and then moved by (x, y) px."""
        return Stars(self.centres * scale + np.array([x, y]), self.radii * scale, self.scores, self.kinds)

    def within(self, width: int, height: int) -> "Stars":
        """The outlines cut along their rays at a frame; nothing is left of those whose centre is outside."""
        centres = self.centres[:, None]
        to_frame = np.where(_DIRECTIONS > 0, (width, height) - centres, centres)
        farthest = (to_frame / np.maximum(np.abs(_DIRECTIONS), 1e-9)).min(axis=2)
        outside = (farthest < 0).any(axis=1)
        radii = np.where(outside[:, None], 0, np.minimum(self.radii, farthest))
        return Stars(self.centres, radii, self.scores, self.kinds)


def joined(parts: list[Stars]) -> Stars:
    """All outlines of several parts of a field."""
    return Stars(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("centres", "radii", "scores", "kinds")
        )
    )


def stars_of(maps: Maps, threshold: float) -> Stars:
    """One outline for each peak of the centre map of one picture (N = 1) that reaches the threshold (0 to 1)."""
    near = scipy.special.expit(maps.centre[0])
    peaks = (near == scipy.ndimage.maximum_filter(near, 3, mode="nearest")) & (near >= threshold)
    rows, columns = np.nonzero(peaks)
    offset = maps.offset[0][:, rows, columns].T * UNIT
    return Stars(
        (np.column_stack([columns, rows]) + 0.5) * STRIDE + offset,
        np.exp(maps.rays[0][:, rows, columns].T) * UNIT,
        near[rows, columns],
        maps.kind[0][:, rows, columns].argmax(axis=0),
    )


def without_duplicates(stars: Stars) -> Stars:
    """The most certain outline of each cell.

    A platelet gives way to any other cell that it lies on, because parasites and stain on a cell look like platelets.
    """
    order = np.lexsort([-stars.scores, stars.kinds == KINDS.index(PLATELET)])
    stars = stars[order]
    inner, outer = _near_pairs(stars)
    within = _share_within(stars, inner, outer)
    areas = stars.areas
    shared = within * areas[inner]
    same = shared / (areas[inner] + areas[outer] - shared) > _SAME
    # Of each pair, `inner` is the one that may have to go: it comes later in the order.
    rivals: dict[int, list[int]] = {}
    for gone, kept in zip(inner[same | (within > _WITHIN)], outer[same | (within > _WITHIN)], strict=True):
        if kept < gone:
            rivals.setdefault(int(gone), []).append(int(kept))
    kept = np.ones(len(stars), dtype=bool)
    for index in sorted(rivals):
        kept[index] = not any(kept[rival] for rival in rivals[index])
    return stars[kept]


def shared_areas(first: Stars, second: Stars) -> np.ndarray:
    """Intersection over union of each outline of one set with each of another, shape (n, m)."""
    both = joined([first, second])
    inner, outer = _near_pairs(both)
    across = (inner < len(first)) & (outer >= len(first))
    inner, outer = inner[across], outer[across]
    shared = _share_within(both, inner, outer) * both.areas[inner]
    ratio = np.zeros((len(first), len(second)))
    ratio[inner, outer - len(first)] = shared / (both.areas[inner] + both.areas[outer] - shared)
    return ratio


def separated(stars: Stars) -> Stars:
    """The outlines cut where they overlap: each pair along the line half way through the overlap.

    The line is perpendicular to the line between the centres, and each cell keeps its own side of it.
    """
    first, second = _near_pairs(stars)
    within = _within(stars, first, second).any(axis=(1, 2))
    overlapping = within | _within(stars, second, first).any(axis=(1, 2))
    radii = stars.radii.copy()
    for one, other in zip(first[overlapping], second[overlapping], strict=True):
        away = stars.centres[other] - stars.centres[one]
        distance = max(float(np.hypot(*away)), 1e-6)
        direction = np.arctan2(away[1], away[0])
        reach = _radius(stars, np.array([one]), np.array([direction]))[0]
        reach_back = _radius(stars, np.array([other]), np.array([direction + np.pi]))[0]
        line = np.clip((distance + reach - reach_back) / 2, 0.1 * distance, 0.9 * distance)
        towards = np.cos(RAY_ANGLES - direction)
        with_line = towards > 1e-6
        radii[one, with_line] = np.minimum(radii[one, with_line], line / towards[with_line])
    return Stars(stars.centres, radii, stars.scores, stars.kinds)


def _near_pairs(stars: Stars) -> tuple[np.ndarray, np.ndarray]:
    """Both orders of all pairs of outlines that are near enough to overlap."""
    reach = stars.radii.max(axis=1) if len(stars) else np.zeros(0)
    if len(stars) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    pairs = scipy.spatial.KDTree(stars.centres).query_pairs(2 * float(reach.max()), output_type="ndarray")
    apart = np.hypot(*(stars.centres[pairs[:, 0]] - stars.centres[pairs[:, 1]]).T)
    pairs = pairs[apart < reach[pairs[:, 0]] + reach[pairs[:, 1]]]
    return np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])


def _share_within(stars: Stars, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Share of the area of each `inner` outline that lies within its `outer` one."""
    weight = stars.radii[inner] ** 2
    rings = _within(stars, inner, outer)[:, :-1].mean(axis=1)
    share: np.ndarray = (rings * weight).sum(axis=1) / weight.sum(axis=1)
    return share


def _within(stars: Stars, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Whether points of each `inner` outline lie within its `outer` one, shape (pairs, rings, rays)."""
    rings = stars.radii[inner][:, None, :, None] * _RINGS[:, None, None] * _DIRECTIONS
    away = stars.centres[inner, None, None] + rings - stars.centres[outer, None, None]
    angles = np.arctan2(away[..., 1], away[..., 0])
    of = np.broadcast_to(outer[:, None, None], angles.shape)
    within: np.ndarray = np.hypot(away[..., 0], away[..., 1]) < _radius(stars, of, angles)
    return within


def _radius(stars: Stars, of: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Distance of the outlines `of` from their centres at some angles, on the chord between the two nearest rays."""
    position = (angles % (2 * np.pi)) * (RAYS / (2 * np.pi))
    before = np.floor(position).astype(int) % RAYS
    share = position - np.floor(position)
    near, far = stars.radii[of, before], stars.radii[of, (before + 1) % RAYS]
    step = 2 * np.pi / RAYS
    chord = near * far * np.sin(step)
    radius: np.ndarray = chord / (near * np.sin(share * step) + far * np.sin((1 - share) * step))
    return radius
