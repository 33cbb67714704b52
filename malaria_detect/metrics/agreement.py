"""Agreement of estimated with true parasitemia, patient by patient.

References
----------
.. [1] J. M. Bland and D. G. Altman, Statistical methods for assessing agreement between two methods of clinical
   measurement, Lancet 327 (1986) 307-310.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics.patients import share_of_patients
from malaria_detect.metrics.types import Estimate, MetricsError

# Upper ends of the bands of true parasitemia; the first one holds patients without parasites.
BANDS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)


@dataclass(frozen=True)
class Agreement:
    """How well estimates of the parasitemia agree with the truth.

    Attributes
    ----------
    median_error : float
        Median over infected patients of the relative error, ``|estimate - true| / true``.
    within_quarter : Estimate
        Share of infected patients whose estimate is within 25 % of the truth.
    within_half_point : Estimate
        Share of all patients whose estimate is within 0.5 percentage points of the truth.
    bias, low, high : float, in [-1, 1]
        Mean of ``estimate - true`` over all patients, and the limits of agreement: 1.96 standard deviations around
        it [1]_.
    """

    median_error: float
    within_quarter: Estimate
    within_half_point: Estimate
    bias: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """Patients whose true parasitemia is above ``above`` and at most ``upto``, and the share of them that is detected.

    In the band from 0 to 0 are patients without parasites; the share there is that of false alarms.
    """

    above: float
    upto: float
    detected: Estimate


def agreement(true: ArrayLike, estimated: ArrayLike) -> Agreement:
    """Agreement of estimated with true parasitemia; both have shape (patients,) and are 0 to 1.

    Raises
    ------
    MetricsError
        If the shapes differ, or no patient is infected.

    Examples
    --------
    >>> found = agreement([0.0, 0.02, 0.1], [0.01, 0.024, 0.07])
    >>> found.within_quarter.hits, found.within_half_point.hits, round(found.median_error, 3)
    (1, 1, 0.25)
    """
    truth, estimates = np.asarray(true, float), np.asarray(estimated, float)
    if truth.shape != estimates.shape or not (truth > 0).any():
        raise MetricsError("Agreement needs an estimate for each patient, and an infected one.", "bad_counts")
    difference = estimates - truth
    error = np.abs(difference[truth > 0]) / truth[truth > 0]
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    return Agreement(
        float(np.median(error)),
        share_of_patients(error <= 0.25 + _ROUNDING),
        share_of_patients(np.abs(difference) <= 0.005 + _ROUNDING),
        bias,
        bias - spread,
        bias + spread,
    )


def detection_by_band(true: ArrayLike, detected: ArrayLike) -> tuple[Band, ...]:
    """Share of patients that are detected in each of the `BANDS` of true parasitemia that has patients.

    Examples
    --------
    >>> for band in detection_by_band([0.0, 0.0, 0.03, 0.04, 0.2], [False, True, False, True, True]):
    ...     print(band.upto, band.detected.hits, band.detected.total)
    0.0 1 2
    0.05 1 2
    1.0 1 1
    """
    band = np.searchsorted(BANDS, np.asarray(true, float))
    lower: Sequence[float] = (0.0, *BANDS[:-1])
    return tuple(
        Band(lower[number], BANDS[number], share_of_patients(np.asarray(detected, bool)[band == number]))
        for number in np.unique(band).tolist()
    )


# An error of exactly a quarter must not fail because of rounding.
_ROUNDING = 1e-12
