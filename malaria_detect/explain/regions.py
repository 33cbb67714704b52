"""Parts of a cell: the one that a heat map marks, random ones like it, and the cell with a part hidden.

Masks are (GRID, GRID) arrays of bool over the square that the network sees: fine enough for a parasite, and small
enough to try every place.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.signal import fftconvolve
from torch.nn import functional

GRID = 56
# Of the hottest place: what is at least so hot is marked.
_HOT = 0.35
# Of the cell: a mark that covers more says nothing of where.
_MOST = 0.2
# A random part may stick out of the cell by so much of itself, and share so much with the mark.
_OUTSIDE = 0.05
_SHARED = 0.5


def marked_part(heat: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """What is at least 35 % as hot as the hottest place of the cell, and at most the hottest fifth of the cell.

    Parameters
    ----------
    heat : numpy.ndarray
        float, (GRID, GRID); what is not above 0 is never marked.
    cell : numpy.ndarray
        bool, (GRID, GRID).

    Returns
    -------
    numpy.ndarray
        bool, (GRID, GRID); all False where nothing is hot.

    Examples
    --------
    >>> heat = np.zeros((GRID, GRID))
    >>> heat[10, 20], heat[10, 21], heat[30, 30] = 1.0, 0.6, 0.3
    >>> np.argwhere(marked_part(heat, np.ones((GRID, GRID), dtype=bool))).tolist()
    [[10, 20], [10, 21]]
    """
    inside = np.where(cell, heat, 0)
    hottest = inside.max()
    if hottest <= 0:
        return np.zeros(cell.shape, dtype=bool)
    most = int(_MOST * np.count_nonzero(cell))
    least = np.sort(inside, axis=None)[-most - 1] if most else hottest
    part: np.ndarray = (
        inside >= max(_HOT * hottest, np.nextafter(least, np.inf)) if most else inside >= hottest
    )
    return part


def random_parts(part: np.ndarray, cell: np.ndarray, number: int, seed: int = 0) -> list[np.ndarray]:
    """Parts of the same size and shape at random places of the cell, turned or mirrored, away from the part itself.

    Parameters
    ----------
    part, cell : numpy.ndarray
        bool, (GRID, GRID); the part is not empty.
    number : int
        No two are the same.
    seed : int

    Returns
    -------
    list of numpy.ndarray
        Each bool, (GRID, GRID), at least 95 % in the cell, and at most half of it in `part`. None at all where the cell
        has not room for so many.

    Examples
    --------
    >>> part = np.zeros((GRID, GRID), dtype=bool)
    >>> part[3:6, 4] = True
    >>> others = random_parts(part, np.ones_like(part), 5)
    >>> [int(other.sum()) for other in others]
    [3, 3, 3, 3, 3]
    """
    area = np.count_nonzero(part)
    shapes = list(_turned(part))
    places = []
    for index, shape in enumerate(shapes):
        # Both counts for all places at once.
        inside, shared = (
            fftconvolve(mask.astype(float), shape[::-1, ::-1].astype(float), mode="valid")
            for mask in (cell, part)
        )
        fits = (inside > (1 - _OUTSIDE) * area - 0.5) & (shared < _SHARED * area + 0.5)
        places += [(index, int(row), int(column)) for row, column in np.argwhere(fits)]
    if len(places) < number:
        return []
    parts = []
    for chosen in np.random.default_rng(seed).choice(len(places), number, replace=False):
        index, row, column = places[chosen]
        height, width = shapes[index].shape
        other = np.zeros_like(part)
        other[row : row + height, column : column + width] = shapes[index]
        parts.append(other)
    return parts


def _turned(part: np.ndarray) -> Iterator[np.ndarray]:
    """The part alone, in the distinct ones of its eight positions."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    shape = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    seen = set()
    for side in (shape, shape.T):
        for turns in range(4):
            turned = np.rot90(side, turns)
            key = (turned.shape, turned.tobytes())
            if key not in seen:
                seen.add(key)
                yield turned


def hidden(picture: torch.Tensor, cell: np.ndarray, parts: Sequence[np.ndarray]) -> torch.Tensor:
    """The picture once for each part, with that part painted over in the median colour of the rest of the cell.

    The median is the colour of a cell without a parasite. Blurring instead leaves a smear of the parasite's colour.

    Parameters
    ----------
    picture : torch.Tensor
        float32, (1, 3, side, side), in any linear scale of RGB.
    cell : numpy.ndarray
        bool, (GRID, GRID).
    parts : sequence of numpy.ndarray
        Each bool, (GRID, GRID). Their edges become soft, so that no edge is seen as such.

    Returns
    -------
    torch.Tensor
        float32, (parts, 3, side, side).
    """
    side = picture.shape[-1]

    def at_full_size(masks: np.ndarray) -> torch.Tensor:
        return functional.interpolate(
            torch.from_numpy(masks.astype(np.float32))[:, None], size=(side, side), mode="bilinear"
        )

    small = functional.interpolate(picture, size=(GRID, GRID), mode="area")[0].numpy()
    colours = np.stack(
        [
            np.median(small[:, cell & ~part] if (cell & ~part).any() else small[:, cell], axis=1)
            for part in parts
        ]
    )
    # Black around the cell stays black.
    covered = at_full_size(np.stack(parts)) * at_full_size(cell[None])
    return picture + covered * (torch.from_numpy(colours)[:, :, None, None] - picture)
