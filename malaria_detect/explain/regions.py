"""Parts of a cell: the part that a heat map marks, random parts of the same shape, and images with a part hidden.

Masks are bool arrays (GRID, GRID) of the padded image.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

GRID = 56
# Places with at least this share of the largest heat are marked.
_HOT = 0.35
# Largest share of the cell that is marked.
_MOST = 0.2
# Largest share of a random part that is outside of the cell, and that overlaps the marked part.
_OUTSIDE = 0.05
_SHARED = 0.5


def marked_part(heat: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The part with at least 35 % of the largest heat in the cell, but at most the hottest fifth of the cell.

    `heat`, float, (GRID, GRID), is marked only where it is above 0.

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
    if not most:
        return np.asarray(inside >= hottest)
    largest_left_out = np.sort(inside, axis=None)[-most - 1]
    return np.asarray((inside >= _HOT * hottest) & (inside > largest_left_out))


def random_parts(part: np.ndarray, cell: np.ndarray, number: int, seed: int = 0) -> list[np.ndarray]:
    """Parts of the same size and shape at random places of the cell, rotated or mirrored.

    They are all different, at least 95 % inside the cell and at most half inside `part`, which must not be empty. If
    there are fewer such places than `number`, there are no parts.

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
        # Counts the pixels inside the cell and inside the part for all places at once.
        inside, shared = (
            scipy.signal.fftconvolve(mask.astype(float), shape[::-1, ::-1].astype(float), mode="valid")
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
    """The part without its surroundings, in all distinct rotations and mirror images."""
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


def hidden(
    picture: NDArray[np.float32], cell: np.ndarray, parts: Sequence[np.ndarray]
) -> NDArray[np.float32]:
    """Copies of an image, each with one part painted over in the median colour of the rest of the cell.

    The median is the colour of a cell without a parasite. Blurring would leave a trace of the parasite's colour.

    The edges of the parts are softened, so that the network does not react to them.

    Parameters
    ----------
    picture : numpy.ndarray
        float32, (1, 3, side, side), in any linear scale of RGB.

    Returns
    -------
    numpy.ndarray
        float32, (parts, 3, side, side).
    """
    side = picture.shape[-1]
    small = np.stack([resized(channel, (GRID, GRID), Image.Resampling.BOX) for channel in picture[0]])
    colours = np.stack(
        [
            np.median(small[:, cell & ~part] if (cell & ~part).any() else small[:, cell], axis=1)
            for part in parts
        ]
    )
    # The black background stays black.
    inside = resized(cell.astype(np.float32), (side, side))
    covered = np.stack([resized(part.astype(np.float32), (side, side)) * inside for part in parts])[:, None]
    return picture + covered * (colours[:, :, None, None] - picture)


def resized(
    values: NDArray[np.float32], shape: tuple[int, int], how: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.float32]:
    """An array of float32, (rows, columns), scaled to another shape without aliasing."""
    return np.asarray(Image.fromarray(values).resize(shape[::-1], how))
