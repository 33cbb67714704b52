"""What the cell finder should answer for a synthetic field, and how far its answer is from that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from malaria_detect.fields.cell import KINDS, FoundCell
from malaria_detect.fields.maps import RAY_ANGLES, RAYS, STRIDE, UNIT, Maps
from malaria_detect.fields.synthetic import SyntheticField

# A platelet of few pixels needs a target, too.
_LEAST_RADIUS = 3.0


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of one picture as float32 arrays, h and w being a quarter of its height and width.

    Attributes
    ----------
    centre : shape (h, w)
        1 at the centre of a cell, 0 at its outline and outside.
    weight : shape (h, w)
        0 where a cell is too little visible to say whether it is one, else 1.
    shape : shape (34, h, w)
        Offset and rays as in :class:`malaria_detect.fields.maps.Maps`.
    kind : int64, shape (h, w)
        Index into `KINDS`.
    """

    centre: np.ndarray
    weight: np.ndarray
    shape: np.ndarray
    kind: np.ndarray


def star(cell: FoundCell) -> tuple[float, float, np.ndarray]:
    """Centroid (x, y) of the outline of a cell, and its distance in the 32 directions of the rays, in px."""
    x, y = cell.outline.astype(np.float64).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    centre_x = float(((x + np.roll(x, -1)) * cross).sum() / (6 * area))
    centre_y = float(((y + np.roll(y, -1)) * cross).sum() / (6 * area))
    angles = np.arctan2(y - centre_y, x - centre_x)
    order = np.argsort(angles)
    radii = np.interp(
        RAY_ANGLES, angles[order], np.hypot(x - centre_x, y - centre_y)[order], period=2 * np.pi
    )
    return centre_x, centre_y, np.maximum(radii, 1.0)


def targets_of(field: SyntheticField) -> Targets:
    """Targets for a synthetic field.

    A pixel within several cells belongs to the one whose centre is relatively nearest. Height and width of the field
    are multiples of 16 px.
    """
    height, width = (side // STRIDE for side in field.pixels.shape[:2])
    centre = np.zeros((height, width), np.float32)
    shape = np.zeros((2 + RAYS, height, width), np.float32)
    kind = np.zeros((height, width), np.int64)
    for cell in field.cells:
        x, y, radii = star(cell)
        window = _window(x, y, max(_LEAST_RADIUS, float(radii.max())), height, width)
        if window is None:
            continue
        across = (np.arange(window[1].start, window[1].stop) + 0.5) * STRIDE - x
        down = (np.arange(window[0].start, window[0].stop) + 0.5) * STRIDE - y
        position = np.arctan2(down[:, None], across[None]) % (2 * np.pi) * (RAYS / (2 * np.pi))
        before = position.astype(int) % RAYS
        share = position - np.floor(position)
        radius = radii[before] * (1 - share) + radii[(before + 1) % RAYS] * share
        near = 1 - np.hypot(across[None], down[:, None]) / np.maximum(radius, _LEAST_RADIUS)
        owned = near > centre[window]
        centre[window][owned] = near[owned]
        kind[window][owned] = KINDS.index(cell.kind)
        here = shape[:, window[0], window[1]]
        here[0][owned] = np.broadcast_to(-across[None] / UNIT, owned.shape)[owned]
        here[1][owned] = np.broadcast_to(-down[:, None] / UNIT, owned.shape)[owned]
        here[2:, owned] = np.log(radii / UNIT)[:, None]
    return Targets(centre, _weight(field.ignored, centre), shape, kind)


def _window(x: float, y: float, reach: float, height: int, width: int) -> tuple[slice, slice] | None:
    left, right = max(0, int((x - reach) / STRIDE)), min(width, int((x + reach) / STRIDE) + 1)
    top, bottom = max(0, int((y - reach) / STRIDE)), min(height, int((y + reach) / STRIDE) + 1)
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _weight(ignored: np.ndarray, centre: np.ndarray) -> np.ndarray:
    rows, columns = ((np.arange(side) + 0.5) * STRIDE for side in centre.shape)
    weight = np.ones_like(centre)
    for x, y, radius in ignored:
        weight[(np.hypot(columns[None] - x, rows[:, None] - y) < radius) & (centre == 0)] = 0
    return weight


def batch_of(targets: Sequence[Targets]) -> tuple[torch.Tensor, ...]:
    """Targets of a batch: centre, weight, shape and kind."""
    return tuple(
        torch.from_numpy(np.stack([getattr(one, name) for one in targets]))
        for name in ("centre", "weight", "shape", "kind")
    )


def finder_loss(maps: Maps, targets: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Losses of a batch: of the centre map (cross-entropy), offsets and rays (L1), and kinds (cross-entropy).

    A relative error of a ray counts the same for small and large cells, because rays are logarithms.
    """
    centre, weight, shape, kind = targets
    cross = functional.binary_cross_entropy_with_logits(maps.centre.float(), centre, reduction="none")
    total = centre.sum().clamp(min=1)
    error = (torch.cat([maps.offset, maps.rays], dim=1).float() - shape).abs()
    kinds = functional.cross_entropy(maps.kind.float(), kind, reduction="none")
    return {
        "centre": (cross * weight).mean(),
        "offset": (error[:, :2].mean(dim=1) * centre).sum() / total,
        "rays": (error[:, 2:].mean(dim=1) * centre).sum() / total,
        "kind": (kinds * centre).sum() / total,
    }
