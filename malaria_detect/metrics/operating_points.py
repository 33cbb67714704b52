"""Operating points: thresholds on the probability, chosen by one of three rules.

A missed cell is the more harmful mistake, so `screening` requires its sensitivity at the lower end of the 95 % interval
over patients. The other two rules use the observed rates.

References
----------
.. [1] W. J. Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35: J = sensitivity + specificity - 1.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics.intervals import draw_groups, interval_of_share, leave_one_out
from malaria_detect.metrics.scores import RESAMPLES
from malaria_detect.metrics.types import Bools, Floats, Groups, MetricsError, checked_cells, numbered_groups

SCREENING_SENSITIVITY = 0.97
COUNTING_SPECIFICITY = 0.995
# Probabilities closer than this count as equal, so that rounding does not change a threshold.
_APART = 1e-9

# The metadata of a model says this about thresholds that were chosen on its validation patients.
OPERATING_RULES = {
    "screening": (
        f"Chosen on the validation patients: the highest threshold at which at least {100 * SCREENING_SENSITIVITY:g} % "
        "of the parasitized cells are called parasitized, even at the lower end of the 95 % confidence interval. Few "
        "parasitized cells are missed."
    ),
    "balanced": (
        "Chosen on the validation patients: the threshold with the highest sum of sensitivity and specificity. Missed "
        "parasitized cells and uninfected cells called parasitized count the same."
    ),
    "counting": (
        f"Chosen on the validation patients: the lowest threshold at which at least {100 * COUNTING_SPECIFICITY:g} % "
        "of the uninfected cells are called uninfected. Few uninfected cells are counted as parasitized."
    ),
}


def choose_threshold(labels: ArrayLike, probability: ArrayLike, groups: Groups, rule: str) -> float:
    """Threshold chosen by a rule; a cell is called parasitized if its probability is at least the threshold.

    The threshold is midway between two neighbouring probabilities, so that rounding changes no call.

    Parameters
    ----------
    labels, probability, groups
        As for `malaria_detect.metrics.score`; calibrated, if the threshold is for calibrated probabilities.
    rule : str
        A key of `OPERATING_RULES`: screening, balanced or counting.

    Raises
    ------
    MetricsError
        If the rule is unknown, the arrays do not match, or no threshold satisfies the rule without giving all cells the
        same call.

    Examples
    --------
    >>> labels = [True, True, True, False, False, False]
    >>> probability = [0.9, 0.8, 0.3, 0.5, 0.2, 0.1]
    >>> groups = ["P1", "P2", "P3", "P1", "P2", "P3"]
    >>> [choose_threshold(labels, probability, groups, rule) for rule in ("balanced", "counting")]
    [0.65, 0.65]
    """
    if rule not in OPERATING_RULES:
        raise MetricsError(
            f"Unknown rule {rule!r}. Use one of {', '.join(OPERATING_RULES)}.", reason="bad_setting"
        )
    parasitized, probabilities = checked_cells(labels, probability)
    candidates: Iterable[float] = _candidates(parasitized, probabilities, rule)
    if rule == "screening":
        candidates = filter(_sensitive(parasitized, probabilities, groups), candidates)
    best = next(iter(candidates), None)
    if best is None:
        raise MetricsError(
            f"No threshold satisfies the rule {rule!r}: the probabilities hardly separate parasitized from uninfected "
            "cells.",
            reason="no_solution",
        )
    return float(best)


def _candidates(parasitized: Bools, probabilities: Floats, rule: str) -> Floats:
    """Thresholds that satisfy a rule on these cells, best first."""
    values = np.sort(probabilities)
    apart = np.flatnonzero(np.diff(values) > _APART)
    cuts = (values[apart] + values[apart + 1]) / 2
    positives, negatives = np.sort(probabilities[parasitized]), np.sort(probabilities[~parasitized])
    # Parasitized cells called, and uninfected cells not called.
    caught, spared = len(positives) - np.searchsorted(positives, cuts), np.searchsorted(negatives, cuts)
    if rule == "counting":
        return cuts[(spared / len(negatives) >= COUNTING_SPECIFICITY) & (caught > 0)]
    if rule == "screening":
        kept = (caught / len(positives) >= SCREENING_SENSITIVITY) & (spared > 0)
        # The sensitivity changes only where another parasitized cell is caught.
        return cuts[kept & (np.diff(caught, append=0) < 0)][::-1]
    # Youden's index [1]_ times both class sizes: whole numbers, so that ties are exact.
    index = caught * len(negatives) + spared * len(positives) - len(positives) * len(negatives)
    best = cuts[(index > 0) & (index == index.max(initial=1))]
    # Of several, the one closest to 0.5, then the lower one.
    away = np.abs(best - 0.5)
    return best[away <= away.min(initial=1) + _APART]


def _sensitive(parasitized: Bools, probabilities: Floats, groups: Groups) -> Callable[[float], bool]:
    """Whether the sensitivity at a threshold is high enough at the lower end of its interval over patients."""
    names, group = numbered_groups(groups, len(parasitized))
    probabilities, group = probabilities[parasitized], group[parasitized]
    # The resamples of `malaria_detect.metrics.score`, so that the reported interval keeps the rule.
    weights = draw_groups(len(names), RESAMPLES, seed=0), leave_one_out(len(names))
    cells = np.bincount(group, minlength=len(names))

    def sensitive(threshold: float) -> bool:
        caught = np.bincount(group[probabilities >= threshold], minlength=len(names))
        return interval_of_share(caught, cells, weights)[0] >= SCREENING_SENSITIVITY

    return sensitive
