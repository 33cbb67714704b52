"""Operating points: thresholds on the probability, chosen by one of three rules.

A missed cell is the more harmful mistake, so `screening` requires its sensitivity at the lower end of the 95 % interval
over patients. The other two rules use the observed rates.

References
----------
.. [1] W. J. Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35: J = sensitivity + specificity - 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics._vectorized import ratio
from malaria_detect.metrics.intervals import draw_groups, interval, leave_one_out
from malaria_detect.metrics.scores import RESAMPLES, Groups
from malaria_detect.metrics.types import Bools, Floats, Integers, MetricsError, checked_cells, numbered_groups

SCREENING_SENSITIVITY = 0.97
COUNTING_SPECIFICITY = 0.995
# Probabilities closer than this count as equal, so that rounding does not change a threshold.
_APART = 1e-9

OPERATING_RULES = {
    "screening": (
        f"The highest threshold whose sensitivity is at least {100 * SCREENING_SENSITIVITY:g} % at the lower end of "
        "its 95 % interval over patients: few parasitized cells are missed."
    ),
    "balanced": "The threshold with the highest sum of sensitivity and specificity (Youden's index).",
    "counting": (
        f"The lowest threshold that leaves at least {100 * COUNTING_SPECIFICITY:g} % of the uninfected cells uncalled: "
        "few are counted by mistake."
    ),
}


@dataclass(frozen=True)
class _Cuts:
    """All distinct thresholds of some cells, rising, and what each of them achieves.

    ``cuts``, ``caught`` (parasitized cells called) and ``spared`` (uninfected cells not called) have the same shape.
    """

    cuts: Floats
    caught: Integers
    spared: Integers
    parasitized: int
    uninfected: int

    @classmethod
    def of(cls, parasitized: Bools, probabilities: Floats) -> "_Cuts":
        values = np.sort(probabilities)
        apart = np.flatnonzero(np.diff(values) > _APART)
        cuts = (values[apart] + values[apart + 1]) / 2
        positives, negatives = np.sort(probabilities[parasitized]), np.sort(probabilities[~parasitized])
        caught = len(positives) - np.searchsorted(positives, cuts)
        return cls(cuts, caught, np.searchsorted(negatives, cuts), len(positives), len(negatives))

    def balanced(self) -> float | None:
        """Threshold with the highest Youden index [1]_; of several, the one closest to 0.5, then the lower one."""
        # Youden's index times both class sizes: whole numbers, so that ties are exact.
        index = (
            self.caught * self.uninfected
            + self.spared * self.parasitized
            - self.parasitized * self.uninfected
        )
        best = self.cuts[(index > 0) & (index == index.max(initial=1))]
        away = np.abs(best - 0.5)
        return next(iter(best[away <= away.min(initial=1) + _APART]), None)

    def counting(self) -> float | None:
        """Lowest threshold with the specificity of the rule."""
        kept = (self.spared / self.uninfected >= COUNTING_SPECIFICITY) & (self.caught > 0)
        return next(iter(self.cuts[kept]), None)

    def screening(self, sensitive: Callable[[float], bool]) -> float | None:
        """Highest threshold with the sensitivity of the rule, also at the lower end of its interval."""
        kept = (self.caught / self.parasitized >= SCREENING_SENSITIVITY) & (self.spared > 0)
        # The sensitivity changes only where another parasitized cell is caught.
        candidates = self.cuts[kept & (np.diff(self.caught, append=0) < 0)]
        return next(filter(sensitive, candidates[::-1]), None)


def choose_threshold(labels: ArrayLike, probability: ArrayLike, groups: Groups, rule: str) -> float:
    """Threshold chosen by a rule; a cell is called parasitized if its probability is at least the threshold.

    The threshold is midway between two neighbouring probabilities, so that rounding changes no call.

    Parameters
    ----------
    labels : array of bool, shape (N,)
        True for cells labelled parasitized.
    probability : array of float, shape (N,), in [0, 1]
        Probability of parasitized; calibrated, if the threshold is for calibrated probabilities.
    groups : sequence of str, length N
        Patient group of each cell.
    rule : str
        A key of `OPERATING_RULES`: screening, balanced or counting.

    Returns
    -------
    float
        Between 0 and 1.

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
    cuts = _Cuts.of(parasitized, probabilities)
    if rule == "screening":
        best = cuts.screening(_Sensitive(parasitized, probabilities, groups))
    else:
        best = cuts.counting() if rule == "counting" else cuts.balanced()
    if best is None:
        raise MetricsError(
            f"No threshold satisfies the rule {rule!r}: the probabilities hardly separate parasitized from uninfected "
            "cells.",
            reason="no_solution",
        )
    return float(best)


class _Sensitive:
    """Whether the sensitivity at a threshold is high enough at the lower end of its interval over patients."""

    def __init__(self, parasitized: Bools, probabilities: Floats, groups: Groups) -> None:
        names, group = numbered_groups(groups, len(parasitized))
        patients = len(names)
        self.probabilities, self.group = probabilities[parasitized], group[parasitized]
        # The resamples of `malaria_detect.metrics.score`, so that the reported interval keeps the rule.
        self.weights = draw_groups(patients, RESAMPLES, seed=0), leave_one_out(patients)
        self.cells = np.bincount(self.group, minlength=patients).astype(np.float64)

    def __call__(self, threshold: float) -> bool:
        """False if there is no interval."""
        called = self.group[self.probabilities >= threshold]
        caught = np.bincount(called, minlength=len(self.cells)).astype(np.float64)
        resampled, without = (ratio(rows @ caught, rows @ self.cells) for rows in self.weights)
        value = caught.sum() / self.cells.sum()
        low, _ = interval(float(value), resampled, without, int((self.cells > 0).sum()))
        return low >= SCREENING_SENSITIVITY
