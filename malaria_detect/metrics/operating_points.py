"""Operating points: from which probability on a cell is called parasitized, by one of three rules.

A missed cell is the mistake that can hurt, so that `screening` asks for its sensitivity with confidence: at the lower
end of the 95 % interval over patients. The other two take the cells as they are.

References
----------
.. [1] W. J. Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35: J = sensitivity + specificity - 1.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics._vectorized import ratio
from malaria_detect.metrics.intervals import draw_groups, interval, leave_one_out
from malaria_detect.metrics.scores import RESAMPLES, Groups
from malaria_detect.metrics.types import Bools, Floats, MetricsError, checked_cells, numbered_groups

SCREENING_SENSITIVITY = 0.97
COUNTING_SPECIFICITY = 0.995
# Probabilities nearer to each other than this are equal: no threshold may hang on a rounding in the last digits.
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


def choose_threshold(labels: ArrayLike, probability: ArrayLike, groups: Groups, rule: str) -> float:
    """The threshold that a rule picks for some cells; a cell is called parasitized from it on.

    It lies midway between two neighbouring probabilities, so that a rounding in the last digit changes no call. Where
    Youden's index [1]_ has several best thresholds, the one nearest to 0.5 is taken, of two the lower.

    Parameters
    ----------
    labels : array of bool, shape (N,)
        True where the label says parasitized.
    probability : array of float, shape (N,), in [0, 1]
        Probability of parasitized, calibrated if the threshold is for calibrated ones.
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
        For an unknown rule, arrays that `malaria_detect.metrics.score` refuses, and where the rule could only be kept
        by calling all cells alike.

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
            f"There is no rule {rule!r} for a threshold; there are {', '.join(OPERATING_RULES)}."
        )
    parasitized, probabilities = checked_cells(labels, probability)
    values = np.sort(probabilities)
    apart = np.flatnonzero(np.diff(values) > _APART)
    cuts = (values[apart] + values[apart + 1]) / 2
    positives, negatives = np.sort(probabilities[parasitized]), np.sort(probabilities[~parasitized])
    caught = len(positives) - np.searchsorted(positives, cuts)
    spared = np.searchsorted(negatives, cuts)
    if rule == "screening":
        kept = (caught / len(positives) >= SCREENING_SENSITIVITY) & (spared > 0)
        # Only where a further parasitized cell is caught does the sensitivity change.
        gains = kept & (np.diff(caught, append=0) < 0)
        sure = _Promise(parasitized, probabilities, groups)
        best = np.array(list(itertools.islice(filter(sure, cuts[gains][::-1]), 1)))
    elif rule == "counting":
        kept = (spared / len(negatives) >= COUNTING_SPECIFICITY) & (caught > 0)
        best = cuts[kept][:1]
    else:
        # Youden's index times the product of the class sizes: whole numbers, so that equals are equal.
        index = caught * len(negatives) + spared * len(positives) - len(positives) * len(negatives)
        tops = cuts[(index > 0) & (index == index.max(initial=1))]
        away = np.abs(tops - 0.5)
        best = tops[away <= away.min(initial=1) + _APART][:1]
    if not len(best):
        raise MetricsError(
            f"No threshold keeps the rule {rule!r} without calling all cells alike: the probabilities hardly tell "
            "parasitized from uninfected cells."
        )
    return float(best[0])


class _Promise:
    """Whether the sensitivity at a threshold is high enough even at the lower end of its interval over patients."""

    def __init__(self, parasitized: Bools, probabilities: Floats, groups: Groups) -> None:
        names, group = numbered_groups(groups, len(parasitized))
        patients = len(names)
        self.probabilities, self.group = probabilities[parasitized], group[parasitized]
        # The very resamples of `malaria_detect.metrics.score`, so that what is chosen is what is printed.
        self.weights = draw_groups(patients, RESAMPLES, seed=0), leave_one_out(patients)
        self.cells = np.bincount(self.group, minlength=patients).astype(np.float64)

    def __call__(self, threshold: float) -> bool:
        """Not where there is no interval, nor near 1, where so few cells are missed that the interval is wide."""
        called = self.group[self.probabilities >= threshold]
        caught = np.bincount(called, minlength=len(self.cells)).astype(np.float64)
        resampled, without = (ratio(rows @ caught, rows @ self.cells) for rows in self.weights)
        value = caught.sum() / self.cells.sum()
        low, _ = interval(float(value), resampled, without, int((self.cells > 0).sum()))
        return low >= SCREENING_SENSITIVITY
