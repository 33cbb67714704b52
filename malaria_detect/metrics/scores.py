"""Scores of a model, and the difference between two models, with intervals over patients.

The values agree with scikit-learn where it has the score. The expected calibration error uses 15 bins of equal mass
[1]_ of the probability of parasitized.

References
----------
.. [1] J. Nixon et al., Measuring calibration in deep learning, CVPR Workshops 2019.
.. [2] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874: the ROC curve.
"""

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics import intervals
from malaria_detect.metrics._vectorized import Formulas
from malaria_detect.metrics.roc import roc_curve
from malaria_detect.metrics.types import (
    Estimate,
    Floats,
    Groups,
    MetricsError,
    Scores,
    checked_cells,
    numbered_groups,
)

ROC_POINTS = 200
RESAMPLES = 2000
# Scores whose range does not start at 0.
_LEAST = {"mcc": -1.0}


def score(
    labels: ArrayLike,
    probability: ArrayLike,
    groups: Groups,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Scores of probabilities against labels, with intervals over patients (`malaria_detect.metrics.intervals`).

    Parameters
    ----------
    labels : array of bool, shape (N,)
        True for cells labelled parasitized. Class numbers are refused: the network numbers Parasitized as 0.
    probability : array of float, shape (N,), in [0, 1]
        Probability of parasitized.
    groups : sequence of str, length N
        Patient group of each cell (`malaria_detect.data.nlm_cells.patient_group`).
    threshold : float, in [0, 1]
        A cell is called parasitized if its probability is at least this.
    resamples, seed : int
        Number (at least 1) and seed of the bootstrap resamples of the patient groups. A resample in which a score is
        undefined (without any parasitized cell) is ignored.

    Raises
    ------
    MetricsError
        If the arrays do not match, hold other values than described above, or contain one class only.

    Examples
    --------
    >>> scores = score([True, True, False, False], [0.9, 0.4, 0.2, 0.1], ["P1", "P2", "P1", "P2"])
    >>> scores.estimates["sensitivity"].hits, scores.estimates["sensitivity"].total
    (1, 2)
    >>> scores.estimates["roc_auc"].value
    1.0
    """
    formulas = _formulas(labels, probability, groups, threshold)
    true_negative, false_positive, false_negative, true_positive = formulas.counts.sum(axis=0).tolist()
    positive, negative = true_positive + false_negative, true_negative + false_positive
    proportions = {
        "accuracy": (true_positive + true_negative, positive + negative),
        "sensitivity": (true_positive, positive),
        "specificity": (true_negative, negative),
        "precision": (true_positive, true_positive + false_positive),
    }
    known = _with_ends(formulas, _weights(len(formulas.counts), resamples, seed))
    estimates = {name: Estimate(*three, *proportions.get(name, ())) for name, three in known.items()}
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
) -> dict[str, Estimate]:
    """Scores of one model minus those of another on the same cells.

    Both are scored on the same resamples of the patient groups (a paired bootstrap), so that difficult
    patients cancel out. If both agree on every cell, the interval is the point 0.

    Parameters
    ----------
    labels, groups, threshold, resamples
        As in `score`, with the same errors.
    first, second : array of float, shape (N,), in [0, 1]
        Probabilities of parasitized by the two models.

    Returns
    -------
    dict of str to Estimate
        With the names of `Scores.estimates`. Above 0 the first model scores higher, which is worse for brier and ece.

    Examples
    --------
    >>> labels, groups = [True, True, False, False], ["P1", "P2", "P1", "P2"]
    >>> difference(labels, [0.9, 0.8, 0.2, 0.1], [0.9, 0.4, 0.2, 0.1], groups)["sensitivity"].value
    0.5
    """
    models = [_formulas(labels, probability, groups, threshold) for probability in (first, second)]
    weights = _weights(len(models[0].counts), resamples)
    ours, theirs = ([formulas.values(rows) for rows in weights] for formulas in models)
    patients, other_patients = (formulas.contributing_groups() for formulas in models)
    estimates = {}
    for name in patients:
        here, drawn, without = (mine[name] - other[name] for mine, other in zip(ours, theirs, strict=True))
        value, enough = float(here[0]), min(patients[name], other_patients[name])
        ends = intervals.plain_interval(value, drawn, without, enough, reach=1 - _LEAST.get(name, 0.0))
        estimates[name] = Estimate(value, *ends)
    return estimates


def roc_points(labels: ArrayLike, probability: ArrayLike) -> tuple[tuple[float, float], ...]:
    """Points of the ROC curve [2]_, thinned for drawing; parameters and errors are those of `score`.

    Returns
    -------
    tuple of (float, float)
        At most 200 points (false positive rate, true positive rate), from (0, 0) to (1, 1).

    Examples
    --------
    >>> roc_points([True, True, False, False], [0.8, 0.5, 0.5, 0.2])
    ((0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0))
    """
    parasitized, probabilities = checked_cells(labels, probability)
    false_positive_rate, true_positive_rate = roc_curve(parasitized, probabilities)
    if len(false_positive_rate) > ROC_POINTS:
        # Even steps along the curve, finer near the corner (0, 1), where the curve of a good model bends.
        along = false_positive_rate + true_positive_rate
        along += np.sqrt(false_positive_rate) - np.sqrt(1 - true_positive_rate)
        keep = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], ROC_POINTS)))
        false_positive_rate, true_positive_rate = false_positive_rate[keep], true_positive_rate[keep]
    return tuple(zip(false_positive_rate.tolist(), true_positive_rate.tolist(), strict=True))


def _formulas(labels: ArrayLike, probability: ArrayLike, groups: Groups, threshold: float) -> Formulas:
    if not 0 <= threshold <= 1:
        raise MetricsError(f"The threshold must be between 0 and 1, not {threshold}.", reason="bad_setting")
    parasitized, probabilities = checked_cells(labels, probability)
    names, group = numbered_groups(groups, len(parasitized))
    return Formulas.of(parasitized, probabilities, group, len(names), threshold)


def _with_ends(
    formulas: Formulas, weights: tuple[Floats, Floats, Floats]
) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of each score."""
    here, drawn, without = (formulas.values(rows) for rows in weights)
    found = {}
    for name, patients in formulas.contributing_groups().items():
        value = float(here[name][0])
        if name == "ece":
            (terms,), resampled = (formulas.miscalibration(rows) for rows in weights[:2])
            ends = intervals.interval_of_absolute(terms, resampled, without[name])
        else:
            ends = intervals.interval(value, drawn[name], without[name], patients, _LEAST.get(name, 0.0))
        found[name] = (value, *ends)
    return found


def _weights(groups: int, resamples: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Weights of the patient groups: all once, in each resample, and with each group left out."""
    drawn = intervals.draw_groups(groups, resamples, seed)
    return np.ones((1, groups)), drawn, intervals.leave_one_out(groups)
