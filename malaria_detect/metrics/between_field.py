"""Differences between the fields of one slide, which hold uneven shares of the parasites.

References
----------
.. [1] J. N. K. Rao and A. J. Scott, A simple method for the analysis of clustered binary data, Biometrics 48 (1992)
   577-585.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from malaria_detect.metrics.intervals import TAIL


def design_effect(parasitized: ArrayLike, cells: ArrayLike) -> float:
    """How many times the number of parasitized cells varies more between fields than by chance [1]_; at least 1.

    Few fields show too little of it: as in `malaria_detect.metrics.intervals`, what exceeds chance is widened by
    Student's t for as many degrees of freedom as fields.

    Parameters
    ----------
    parasitized, cells : array of int, shape (fields,)
        Parasitized and all counted cells of each field of one slide.

    Returns
    -------
    float
        From Pearson's chi-squared of the fields over its degrees of freedom; 1.0 for a single field, which says
        nothing about differences between fields.

    Examples
    --------
    >>> design_effect([4, 6, 5], [200, 200, 200]), round(design_effect([0, 12, 3], [200, 200, 200]), 1)
    (1.0, 25.6)
    """
    hits, counts = (np.asarray(one, np.float64) for one in (parasitized, cells))
    hits, counts = hits[counts > 0], counts[counts > 0]
    if len(counts) < 2 or hits.sum() in (0, counts.sum()):
        return 1.0
    share = hits.sum() / counts.sum()
    chi_squared = ((hits - counts * share) ** 2 / (counts * share * (1 - share))).sum()
    fields = len(counts)
    widening = (scipy.special.stdtrit(fields, TAIL) / scipy.special.ndtri(TAIL)) ** 2 * (1 + 1 / fields)
    effect = 1 + max(0.0, chi_squared / (fields - 1) - 1) * widening
    # The most that chi-squared can reach: all cells of a field alike.
    return float(min(effect, counts.sum() / (fields - 1)))
