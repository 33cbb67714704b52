"""Calibration by one temperature: probabilities that are as sure as the model is right.

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
    """Temperature T that makes ``sigmoid(logit / T)`` the best calibrated: least negative log-likelihood [1]_.

    T > 1 makes an overconfident model modest, T < 1 a modest one sure. The order of the cells by probability, and so
    the ROC AUC, stays what it is.

    Parameters
    ----------
    logits : array of float, shape (N,)
        Log-odds of parasitized: the network's output for Parasitized minus that for Uninfected.
    labels : array of bool, shape (N,)
        True where the label says parasitized.

    Returns
    -------
    float
        Above 0.

    Raises
    ------
    MetricsError
        Where the arrays do not fit together, hold one class only, or no temperature is best: every cell is on its
        right side of 0 (the likelihood rises for ever as T falls), or the logits say nothing about the labels, or the
        opposite (it rises for ever as T grows).

    Examples
    --------
    >>> round(fit_temperature([3.0, 3.0, 3.0, -3.0], [True, True, False, False]), 3)
    2.731
    >>> scaled([3.0], 2.731).round(3).tolist()  # three of the four are right
    [0.75]
    """
    parasitized = checked_labels(labels)
    need_both_classes(parasitized)
    # How far each cell lies on its right side of 0.
    right = np.where(parasitized, 1.0, -1.0) * _checked_logits(logits, parasitized)
    if right.min() >= 0:
        raise MetricsError(
            "No temperature can be fitted: every cell is already called right, so that nothing shows how sure "
            "the model may be."
        )

    def slope(steepness: float) -> float:
        return -float(np.mean(right * scipy.special.expit(-steepness * right)))

    if slope(0) >= 0:
        raise MetricsError(
            "No temperature can be fitted: the logits are no higher for parasitized cells than for uninfected ones."
        )
    # The likelihood is a concave function of 1 / T, and falls at last because of the cells called wrong: one T is best.
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
        As :func:`fit_temperature` found it.

    Examples
    --------
    >>> scaled([0.0, 2.0], temperature=2.0).round(3).tolist()
    [0.5, 0.731]
    """
    if not 0 < temperature < np.inf:
        raise MetricsError(f"A temperature is a number above 0; it is {temperature}.")
    return np.asarray(scipy.special.expit(np.asarray(logits, dtype=np.float64) / temperature))


def _checked_logits(logits: ArrayLike, parasitized: Bools) -> Floats:
    given = np.asarray(logits)
    if given.shape != parasitized.shape or given.dtype.kind not in "fiu":
        raise MetricsError(
            f"Each of the {len(parasitized)} labels needs one logit; they are {given.dtype} of shape {given.shape}."
        )
    if not np.isfinite(given).all():
        place = int((~np.isfinite(given)).argmax())
        raise MetricsError(f"Logits must be finite numbers; at place {place} there is {given[place]}.")
    return given.astype(np.float64)
