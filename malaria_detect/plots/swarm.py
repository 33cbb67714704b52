"""Dots laid side by side so that none hides another: numbers in, numbers out."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def heights(x: Floats, radius: Floats) -> Floats:
    """Heights, as near to 0 as can be, at which no dot covers another; large dots find their place first.

    Parameters
    ----------
    x, radius : array of float, shape (dots,)
        Where the dots' middles lie, and their radii, in one unit.

    Returns
    -------
    array of float, shape (dots,)

    Examples
    --------
    >>> import numpy as np
    >>> heights(np.array([0.0, 0.0, 9.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [0.0, 2.0, 0.0]
    """
    y = np.zeros_like(x)
    placed: list[int] = []
    for dot in np.argsort(-radius, kind="stable").tolist():
        apart, reach = x[placed] - x[dot], radius[placed] + radius[dot]
        near = abs(apart) < reach
        above = np.sqrt(reach[near] ** 2 - apart[near] ** 2)
        touching = np.concatenate([[0.0], y[placed][near] + above, y[placed][near] - above])
        for height in touching[np.argsort(abs(touching), kind="stable")]:
            # A hair's breadth of tolerance: a dot that touches does not cover.
            if (apart[near] ** 2 + (y[placed][near] - height) ** 2 > reach[near] ** 2 - 1e-6).all():
                y[dot] = height
                break
        placed.append(dot)
    return y


def rows(radius: Floats, width: float) -> tuple[Floats, Floats]:
    """Middles of dots in rows, the largest in the row at height 0, the others above or below it, where less stands.

    Parameters
    ----------
    radius : array of float, shape (dots,)
    width : float
        Of a row, in the same unit; a dot wider than that has a row of its own.

    Returns
    -------
    x, y : array of float, shape (dots,)
        x from 0 to `width`.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = rows(np.array([1.0, 1.0, 1.0]), width=4)
    >>> x.tolist(), y.tolist()
    ([1.0, 3.0, 2.0], [0.0, 0.0, 2.0])
    """
    x, y = np.zeros_like(radius), np.zeros_like(radius)
    left = np.argsort(-radius, kind="stable").tolist()
    below = above = 0.0
    while left:
        row = [left.pop(0)]
        used = 2 * radius[row[0]]
        while left and used + 2 * radius[left[0]] <= width:
            used += 2 * radius[left[0]]
            row.append(left.pop(0))
        ends = (width - used) / 2 + np.cumsum(2 * radius[row])
        x[row] = ends - radius[row]
        height = radius[row[0]]
        if below == above:
            below, above = -height, height
        elif above <= -below:
            y[row] = above + height
            above += 2 * height
        else:
            y[row] = below - height
            below -= 2 * height
    return x, y
