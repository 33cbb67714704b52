"""Calibration of probabilities by one temperature.

References
----------
.. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks, ICML 2017.
"""

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import ArrayLike

from malaria_detect.metrics.types import Bools, Floats, MetricsError, checked_labels, need_both_classes


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature T for which ``sigmoid(logit / T)`` has the lowest negative log-likelihood [1]_.

    T > 1 corrects an overconfident model, T < 1 an underconfident one. The order of the cells by probability, and so
    the ROC AUC, does not change.

    Parameters
    ----------
    logits : array of float, shape (N,)
        Log-odds of parasitized: the network's output for Parasitized minus that for Uninfected.
    labels : array of bool, shape (N,)
        True for cells labelled parasitized.

    Returns
    -------
    float
        Above 0.

    Raises
    ------
    MetricsError
        If the arrays do not match, contain one class only, or have no best temperature: every cell is called
        correctly (lower T is always better), or the logits are not higher for parasitized cells (higher T is always
        better).

    Examples
    --------
    >>> round(fit_temperature([3.0, 3.0, 3.0, -3.0], [True, True, False, False]), 3)
    2.731
    >>> scaled([3.0], 2.731).round(3).tolist()  # three of the four are right
    [0.75]
    """
    parasitized = checked_labels(labels)
    need_both_classes(parasitized)
    # Positive for cells that are called correctly.
    right = np.where(parasitized, 1.0, -1.0) * _checked_logits(logits, parasitized)
    if right.min() >= 0:
        raise MetricsError(
            "No temperature can be fitted: every cell is called correctly, so there are no errors to calibrate on.",
            reason="no_solution",
        )

    def slope(steepness: float) -> float:
        return -float(np.mean(right * scipy.special.expit(-steepness * right)))

    if slope(0) >= 0:
        raise MetricsError(
            "No temperature can be fitted: the logits are not higher for parasitized cells than for uninfected ones.",
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


def _checked_logits(logits: ArrayLike, parasitized: Bools) -> Floats:
    given = np.asarray(logits)
    if given.shape != parasitized.shape or given.dtype.kind not in "fiu":
        raise MetricsError(
            f"Each of the {len(parasitized)} labels needs one logit; they are {given.dtype} of shape {given.shape}.",
            reason="bad_probability",
        )
    if not np.isfinite(given).all():
        place = int((~np.isfinite(given)).argmax())
        raise MetricsError(
            f"Logits must be finite; at index {place} it is {given[place]}.", reason="bad_probability"
        )
    return given.astype(np.float64)
