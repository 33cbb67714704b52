"""Calibration of probabilities by one temperature.

References
----------
.. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks, ICML 2017.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from malaria_detect.metrics.types import Floats, MetricsError, checked_pairs


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature T > 0 for which ``sigmoid(logit / T)`` has the lowest negative log-likelihood [1]_.

    T > 1 corrects an overconfident model, T < 1 an underconfident one. The order of the cells does not change.

    Parameters
    ----------
    logits : array of float, shape (N,)
        Log-odds of parasitized: the network's output for Parasitized minus that for Uninfected.
    labels : array of bool, shape (N,)
        True for cells labelled parasitized.

    Raises
    ------
    MetricsError
        If the arrays do not match, contain one class only, or have no best temperature: every cell is called
        correctly, or the logits are not higher for parasitized cells.

    Examples
    --------
    >>> round(fit_temperature([3.0, 3.0, 3.0, -3.0], [True, True, False, False]), 3)
    2.731
    >>> scaled([3.0], 2.731).round(3).tolist()  # three of the four are right
    [0.75]
    """
    parasitized, odds = checked_pairs(labels, logits)
    # Positive for cells that are called correctly.
    right = np.where(parasitized, odds, -odds)

    def slope(steepness: float) -> float:
        return -float(np.mean(right * scipy.special.expit(-steepness * right)))

    if right.min() >= 0 or slope(0) >= 0:
        raise MetricsError(
            "No temperature can be fitted: either every cell is called correctly, or the logits are not higher for "
            "parasitized cells than for uninfected ones.",
            reason="no_solution",
        )
    # The likelihood is concave in 1 / T, and falls in the end because of the wrong calls: there is one best T.
    steep = 1 / float(np.abs(right).max())
    while slope(steep) < 0:
        steep *= 2
    return 1 / float(scipy.optimize.brentq(slope, 0, steep, xtol=1e-12 * steep, rtol=1e-12))


def scaled(logits: ArrayLike, temperature: float) -> Floats:
    """Calibrated probability of parasitized, ``sigmoid(logit / temperature)`` [1]_.

    Parameters
    ----------
    logits : array of float, any shape
        Log-odds of parasitized.
    temperature : float, > 0
        From :func:`fit_temperature`.

    Examples
    --------
    >>> scaled([0.0, 2.0], temperature=2.0).round(3).tolist()
    [0.5, 0.731]
    """
    if not 0 < temperature < np.inf:
        raise MetricsError(f"A temperature must be above 0, not {temperature}.", reason="bad_setting")
    return np.asarray(scipy.special.expit(np.asarray(logits, dtype=np.float64) / temperature))
