"""Which points are within a polygon."""

import numpy as np


def mask_of(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre is within an outline or on it, bool, of this shape (height, width).

    Examples
    --------
    >>> mask_of(np.array([[0, 0], [3, 0], [3, 2], [0, 2]]), (3, 4)).astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = shape
    x = np.broadcast_to(np.arange(width) + 0.5, shape)
    return within(outline, x, np.arange(height) + 0.5)


def within(outline: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points are within a polygon, or on its border.

    A point is within if a ray from it crosses the border an odd number of times. It is on the border if the rays to
    both sides disagree (J. O'Rourke, Computational Geometry in C, 2nd edition, section 7.4).

    Parameters
    ----------
    outline : array of float, shape (corners, 2)
        x and y; the last corner is joined to the first.
    x : array of float, shape (rows, columns)
    y : array of float, shape (rows,)
        All points of a row have the same y. Only borders that cross it are computed, so that a raster is fast.

    Returns
    -------
    numpy.ndarray
        bool, shape (rows, columns).

    Examples
    --------
    >>> square = np.array([[0, 0], [3, 0], [3, 2], [0, 2]])
    >>> within(square, np.array([[1], [3], [4]]), np.array([1, 2, 1])).ravel().tolist()
    [True, True, False]
    """
    corners = outline.astype(np.float64)
    above = corners[:, 1] - y[:, None]
    before = np.roll(above, 1, axis=1)
    crossed = ((above > 0) != (before > 0), (above < 0) != (before < 0))
    row, border = np.nonzero(crossed[0] | crossed[1])
    end, start = above[row, border, None], before[row, border, None]
    ends, starts = (corners[of, 0][:, None] - x[row] for of in (border, border - 1))
    side = (ends * start - starts * end) / (start - end)
    # Odd numbers of crossings to the right and to the left.
    right, left = (np.zeros(x.shape, bool) for _ in crossed)
    first = np.flatnonzero(np.diff(row, prepend=-1))  # of the borders that cross a row
    for odd, which, beyond in ((right, crossed[0], side > 0), (left, crossed[1], side < 0)):
        odd[row[first]] = np.logical_xor.reduceat(beyond & which[row, border, None], first, axis=0)
    found = right | left
    # Corners are on the border, but cross no ray from themselves.
    row, corner = np.nonzero(above == 0)
    np.logical_or.at(found, row, corners[corner, 0][:, None] == x[row])
    return found
