"""Results patient by patient."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike

from malaria_detect.metrics.types import (
    Estimate,
    Groups,
    MetricsError,
    PatientCounts,
    checked_labels,
    numbered_groups,
)


def count_patients(labels: ArrayLike, called: ArrayLike, groups: Groups) -> tuple[PatientCounts, ...]:
    """Cells of each patient by label and call, sorted by patient group.

    Parameters
    ----------
    labels, called : array of bool, shape (N,)
        True for cells labelled, or called, parasitized. One class alone is allowed.
    groups : sequence of str, length N
        Patient group of each cell.

    Raises
    ------
    MetricsError
        If the arrays do not match or are not bool.

    Examples
    --------
    >>> count_patients([True, True, False], [True, False, False], ["B", "A", "A"])[0]
    PatientCounts(group='A', parasitized=1, uninfected=1, true_positive=0, false_positive=0)
    """
    parasitized, calls = checked_labels(labels), checked_labels(called)
    if calls.shape != parasitized.shape:
        raise MetricsError(f"{len(parasitized)} labels cannot have {len(calls)} calls.", reason="bad_labels")
    names, group = numbered_groups(groups, len(parasitized))
    outcome = 4 * group + 2 * parasitized + calls
    table = np.bincount(outcome, minlength=4 * len(names)).reshape(-1, 4).tolist()
    return tuple(
        PatientCounts(name, missed + found, spared + mistaken, true_positive=found, false_positive=mistaken)
        for name, (spared, mistaken, missed, found) in zip(names, table, strict=True)
    )


def worst_patients(patients: Sequence[PatientCounts], count: int = 5) -> tuple[PatientCounts, ...]:
    """Patients with the lowest accuracy, worst first; ties are sorted by more cells, then by name."""
    return tuple(sorted(patients, key=lambda one: (one.accuracy, -one.cells, one.group))[:count])


def share_within(patients: Sequence[PatientCounts], points: float = 0.05) -> Estimate:
    """Fraction of patients whose called and labelled shares of parasitized cells differ by at most ``points``.

    ``points`` is 0 to 1; the interval is Wilson's [1]_.

    Raises
    ------
    MetricsError
        If there is no patient.

    Examples
    --------
    >>> near = PatientCounts("A", parasitized=10, uninfected=90, true_positive=9, false_positive=4)
    >>> far = PatientCounts("B", parasitized=10, uninfected=90, true_positive=10, false_positive=9)
    >>> share_within([near, far])
    Estimate(value=0.5, low=0.09..., high=0.90..., hits=1, total=2)

    References
    ----------
    .. [1] E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22
       (1927) 209-212.
    """
    # One division of whole numbers: a difference of exactly five points must not fail because of rounding.
    return share_of_patients(
        [
            abs(one.true_positive + one.false_positive - one.parasitized) / one.cells <= points
            for one in patients
        ]
    )


def share_of_patients(hit: ArrayLike) -> Estimate:
    """Fraction of patients that are True, with Wilson's interval; none at all raise MetricsError.

    Examples
    --------
    >>> share_of_patients([True, True, False, True])
    Estimate(value=0.75, low=0.30..., high=0.95..., hits=3, total=4)
    """
    hits, total = int(np.sum(hit)), np.size(hit)
    if not total:
        raise MetricsError("The fraction of patients needs at least one patient.", reason="bad_counts")
    wilson = scipy.stats.binomtest(hits, total).proportion_ci(method="wilson")
    return Estimate(hits / total, float(wilson.low), float(wilson.high), hits, total)
