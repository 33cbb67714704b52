"""Scores of a model, and the difference between two, with intervals that hold for a new patient.

The values are those of scikit-learn wherever it has the formula (a test holds them together); the expected
calibration error is the one with 15 bins of equal mass of Nixon et al. [1]_, of the probability of parasitized
against its observed share.

References
----------
.. [1] J. Nixon et al., Measuring calibration in deep learning, CVPR Workshops 2019.
.. [2] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874: the ROC curve.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sklearn.metrics
from numpy.typing import ArrayLike, NDArray

from malaria_detect.metrics import intervals
from malaria_detect.metrics._vectorized import Formulas
from malaria_detect.metrics.types import (
    Estimate,
    Floats,
    MetricsError,
    Scores,
    checked_cells,
    numbered_groups,
)

ROC_POINTS = 200
RESAMPLES = 2000
# The scores whose range does not start at 0.
_LEAST = {"mcc": -1.0}

Groups = Sequence[str] | NDArray[np.str_]


def score(
    labels: ArrayLike,
    probability: ArrayLike,
    groups: Groups,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Score a model's probabilities against the labels, with intervals over patients.

    Parameters
    ----------
    labels : array of bool, shape (N,)
        True where the label says parasitized. Class numbers are refused: Parasitized is the network's 0.
    probability : array of float, shape (N,), in [0, 1]
        Probability of parasitized.
    groups : sequence of str, length N
        Patient group of each cell (`malaria_detect.data.nlm_cells.patient_group`).
    threshold : float, in [0, 1]
        A cell is called parasitized where its probability is at least this.
    resamples : int, >= 1
        Bootstrap resamples of the patient groups; from one alone there is no interval. A resample that leaves a score
        undefined (no parasitized cell was drawn) is left out of its interval.
    seed : int
        Seed of the resampling; the same seed gives the same intervals in whatever order the cells come.

    Returns
    -------
    Scores
        How the intervals are made, and how often they cover the truth, is told in `malaria_detect.metrics.intervals`.

    Raises
    ------
    MetricsError
        When the arrays do not fit together, hold something else than said above, or hold one class only.

    Examples
    --------
    >>> scores = score([True, True, False, False], [0.9, 0.4, 0.2, 0.1], ["P1", "P2", "P1", "P2"])
    >>> scores.estimates["sensitivity"].hits, scores.estimates["sensitivity"].total
    (1, 2)
    >>> scores.estimates["roc_auc"].value
    1.0
    """
    (formulas,) = _formulas(labels, [probability], groups, threshold)
    weights = _Weights.of(len(formulas.counts), resamples, seed)
    here, there, without = (formulas.values(rows) for rows in weights)
    true_negative, false_positive, false_negative, true_positive = (
        int(n) for n in formulas.counts.sum(axis=0)
    )
    positive, negative = true_positive + false_negative, true_negative + false_positive
    proportions = {
        "accuracy": (true_positive + true_negative, positive + negative),
        "sensitivity": (true_positive, positive),
        "specificity": (true_negative, negative),
        "precision": (true_positive, true_positive + false_positive),
    }
    estimates = {}
    for name, bearing in formulas.groups_bearing().items():
        value = float(here[name][0])
        if name == "ece":
            terms, drawn = (formulas.miscalibration(rows) for rows in (weights.whole, weights.drawn))
            low, high = intervals.interval_of_absolute(terms[0], drawn, without[name])
        else:
            least = _LEAST.get(name, 0.0)
            low, high = intervals.interval(value, there[name], without[name], bearing, least)
        estimates[name] = Estimate(value, low, high, *proportions.get(name, (None, None)))
    return Scores(
        cells=positive + negative,
        patients=len(formulas.counts),
        parasitized=positive,
        threshold=float(threshold),
        true_positive=true_positive,
        false_negative=false_negative,
        false_positive=false_positive,
        true_negative=true_negative,
        estimates=estimates,
    )


def difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: Groups,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """How much better the first of two models is on the same cells: its scores minus those of the second.

    Both are scored on the same resamples of the patient groups (a paired bootstrap), so that what makes a patient
    hard for both cancels out. Where both agree on every cell, the interval is the one point 0: it says that they
    agree on these cells, no more.

    Parameters
    ----------
    labels, groups, threshold, resamples, seed
        As for `score`.
    first, second : array of float, shape (N,), in [0, 1]
        Probabilities of parasitized by the two models.

    Returns
    -------
    dict of str to Estimate
        By the names of `Scores.estimates`. Above 0 the first scores higher, which is worse for brier and ece.

    Raises
    ------
    MetricsError
        As `score` does.

    Examples
    --------
    >>> labels, groups = [True, True, False, False], ["P1", "P2", "P1", "P2"]
    >>> difference(labels, [0.9, 0.8, 0.2, 0.1], [0.9, 0.4, 0.2, 0.1], groups)["sensitivity"].value
    0.5
    """
    formulas = _formulas(labels, [first, second], groups, threshold)
    weights = _Weights.of(len(formulas[0].counts), resamples, seed)
    ours, theirs = ([one.values(rows) for rows in weights] for one in formulas)
    bearing, other_bearing = (one.groups_bearing() for one in formulas)
    estimates = {}
    for name in bearing:
        here, there, without = (mine[name] - other[name] for mine, other in zip(ours, theirs, strict=True))
        value, enough = float(here[0]), min(bearing[name], other_bearing[name])
        low, high = intervals.plain_interval(value, there, without, enough, reach=1 - _LEAST.get(name, 0.0))
        estimates[name] = Estimate(value, low, high)
    return estimates


def roc_points(labels: ArrayLike, probability: ArrayLike) -> tuple[tuple[float, float], ...]:
    """Points of the ROC curve [2]_, few enough to draw.

    Parameters
    ----------
    labels : array of bool, shape (N,)
        True where the label says parasitized.
    probability : array of float, shape (N,), in [0, 1]
        Probability of parasitized.

    Returns
    -------
    tuple of (float, float)
        At most 200 points (false positive rate, true positive rate), from (0, 0) to (1, 1).

    Raises
    ------
    MetricsError
        As `score` does.

    Examples
    --------
    >>> roc_points([True, True, False, False], [0.8, 0.5, 0.5, 0.2])
    ((0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0))
    """
    parasitized, probabilities = checked_cells(labels, probability)
    false_positive_rate, true_positive_rate, _ = sklearn.metrics.roc_curve(parasitized, probabilities)
    if len(false_positive_rate) > ROC_POINTS:
        # Even steps along the curve, finer towards the corner (0, 1), where a good model's curve bends.
        length = false_positive_rate + true_positive_rate
        corner = np.sqrt(false_positive_rate) - np.sqrt(1 - true_positive_rate)
        along = length + corner
        keep = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], ROC_POINTS)))
        false_positive_rate, true_positive_rate = false_positive_rate[keep], true_positive_rate[keep]
    return tuple(zip(false_positive_rate.tolist(), true_positive_rate.tolist(), strict=True))


def _formulas(
    labels: ArrayLike, probabilities: Sequence[ArrayLike], groups: Groups, threshold: float
) -> list[Formulas]:
    if not 0 <= threshold <= 1:
        raise MetricsError(f"The threshold must lie between 0 and 1; it is {threshold}.")
    found = []
    for given in probabilities:
        parasitized, probability = checked_cells(labels, given)
        names, group = numbered_groups(groups, len(parasitized))
        found.append(Formulas.of(parasitized, probability, group, len(names), threshold))
    return found


@dataclass(frozen=True)
class _Weights:
    """How often each patient group counts: in the cells as they are, in the resamples, with each left out in turn."""

    whole: Floats
    drawn: Floats
    without: Floats

    @classmethod
    def of(cls, groups: int, resamples: int, seed: int) -> "_Weights":
        return cls(
            whole=np.ones((1, groups)),
            drawn=intervals.draw_groups(groups, resamples, seed),
            without=intervals.leave_one_out(groups),
        )

    def __iter__(self) -> Iterator[Floats]:
        return iter((self.whole, self.drawn, self.without))
