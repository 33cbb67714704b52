"""How good a model is: scores with intervals that hold for a new patient.

Cells of one patient resemble each other, so an interval that takes every cell for a new case is far too
narrow. Here whole patient groups are drawn again, with replacement: the cluster bootstrap.

Two limits of the percentile interval, to be kept in mind where patients are few: it is somewhat too narrow (in a
simulation of strongly differing patients it covered the truth in 93 to 94 of 100 studies of 80 patients, in 85 to 92
of 100 studies of 24), and where no cell is wrong it shrinks to one point.

Arrays in, numbers out; no torch. Every score is computed by one formula for the cells as they are and for all
resamples at once, from a matrix that says how often each patient group was drawn.

References
----------
.. [1] B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: the
   percentile interval.
.. [2] C. A. Field and A. H. Welsh, Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007) 369-390.
.. [3] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874: every
   formula of the confusion matrix, the ROC curve.
.. [4] J. A. Hanley and B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 143
   (1982) 29-36: the area is the share of (parasitized, uninfected) pairs in the right order, ties one half.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import sklearn.metrics
from numpy.typing import ArrayLike, NDArray

from malaria_detect.errors import MalariaDetectError

CONFIDENCE = 0.95
ROC_POINTS = 200
# Numbers held at once for one block of resamples, per class: about 32 MB.
BLOCK_NUMBERS = 4_000_000

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


class MetricsError(MalariaDetectError):
    """Labels, probabilities or patient groups from which no score can be computed."""


@dataclass(frozen=True)
class Estimate:
    """One score with its 95 % interval over patients.

    Parameters
    ----------
    value : float
        The score of the cells as they are, 0 to 1. NaN where it is 0 / 0: the precision of a model that calls
        no cell parasitized.
    low, high : float
        Ends of the 95 % percentile interval. Both NaN where fewer than two patient groups bear on the score:
        from one patient nobody learns how much patients differ.
    hits, total : int or None
        For a proportion, ``value == hits / total`` in cells; None for the others (F1, ROC AUC).
    """

    value: float
    low: float
    high: float
    hits: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Scores:
    """What a model scored on some cells; the positive class is Parasitized.

    Parameters
    ----------
    cells, patients, parasitized : int
        Cells scored, patient groups they come from, cells labelled parasitized.
    threshold : float
        A cell is called parasitized where its probability is at least this.
    true_positive, false_negative, false_positive, true_negative : int
        The confusion matrix, in cells. Positive means called parasitized.
    estimates : dict of str to Estimate
        accuracy, sensitivity, specificity, precision, f1, roc_auc, in this order.
    roc : tuple of (float, float)
        At most 200 points (false positive rate, true positive rate) of the ROC curve, from (0, 0) to (1, 1).
    """

    cells: int
    patients: int
    parasitized: int
    threshold: float
    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    estimates: dict[str, Estimate]
    roc: tuple[tuple[float, float], ...]


def score(
    labels: ArrayLike,
    probability: ArrayLike,
    groups: Sequence[str] | NDArray[np.str_],
    threshold: float = 0.5,
    resamples: int = 2000,
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
        Patient group of each cell (`malaria_detect.cells.patient_group`).
    threshold : float, in [0, 1]
        A cell is called parasitized where its probability is at least this.
    resamples : int, >= 1
        Bootstrap resamples of the patient groups. A resample that leaves a score undefined (no parasitized
        cell was drawn) is left out of its interval.
    seed : int
        Seed of the resampling; the same seed gives the same intervals in whatever order the cells come.

    Returns
    -------
    Scores

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
    if not 0 <= threshold <= 1:
        raise MetricsError(f"The threshold must lie between 0 and 1; it is {threshold}.")
    if resamples < 1:
        raise MetricsError(f"The interval needs at least 1 resample; {resamples} were asked for.")
    parasitized, probabilities = _checked_cells(labels, probability)
    patients, group = _numbered_groups(groups, len(parasitized))

    # Cells per patient group by (label, call): true and false negatives and positives are its columns.
    outcome = 2 * parasitized + (probabilities >= threshold)
    per_group = np.bincount(4 * group + outcome, minlength=4 * patients).reshape(patients, 4)
    pairs = _Pairs.of(parasitized, probabilities, group)

    # `drawn`, shape (rows, patients), says how often each patient group counts in each row.
    def values(drawn: Floats) -> dict[str, Floats]:
        return _ratios(drawn @ per_group) | {"roc_auc": pairs.roc_auc(drawn)}

    here = values(np.ones((1, patients)))
    rows = max(1, BLOCK_NUMBERS // len(group))
    blocks = [values(drawn) for drawn in _draw_groups(patients, resamples, rows, seed)]

    true_negative, false_positive, false_negative, true_positive = (int(n) for n in per_group.sum(axis=0))
    proportions = {
        "accuracy": (true_positive + true_negative, len(group)),
        "sensitivity": (true_positive, true_positive + false_negative),
        "specificity": (true_negative, true_negative + false_positive),
        "precision": (true_positive, true_positive + false_positive),
    }
    bearing = _groups_bearing(per_group)
    estimates = {}
    for name, value in here.items():
        low, high = _interval(np.concatenate([block[name] for block in blocks]), bearing[name])
        hits, total = proportions.get(name, (None, None))
        estimates[name] = Estimate(float(value[0]), low, high, hits, total)
    return Scores(
        cells=len(group),
        patients=patients,
        parasitized=int(parasitized.sum()),
        threshold=float(threshold),
        true_positive=true_positive,
        false_negative=false_negative,
        false_positive=false_positive,
        true_negative=true_negative,
        estimates=estimates,
        roc=_roc_points(parasitized, probabilities),
    )


def _checked_cells(labels: ArrayLike, probability: ArrayLike) -> tuple[Bools, Floats]:
    parasitized = np.asarray(labels)
    if parasitized.ndim != 1 or parasitized.dtype != np.bool_:
        raise MetricsError(
            "The labels must be one list of True (parasitized) and False (uninfected); "
            f"they are {parasitized.dtype} of shape {parasitized.shape}."
        )
    given = np.asarray(probability)
    if given.shape != parasitized.shape or given.dtype.kind not in "fiu":
        raise MetricsError(
            f"Each of the {len(parasitized)} labels needs one probability of parasitized; "
            f"they are {given.dtype} of shape {given.shape}."
        )
    probabilities = given.astype(np.float64)
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        first = int(wrong.argmax())
        raise MetricsError(
            f"Probabilities must lie between 0 and 1; {int(wrong.sum())} of {len(wrong)} do not, "
            f"the first is {probabilities[first]} at place {first}."
        )
    count = int(parasitized.sum())
    if count in (0, len(parasitized)):
        raise MetricsError(
            "The scores need both parasitized and uninfected cells; "
            f"{count} of {len(parasitized)} cells are labelled parasitized."
        )
    return parasitized, probabilities


def _numbered_groups(groups: Sequence[str] | NDArray[np.str_], cells: int) -> tuple[int, Integers]:
    """Count the patient groups and number them by name, so that the order of the cells does not matter."""
    given = np.asarray(groups)
    if given.shape != (cells,):
        raise MetricsError(
            f"Each of the {cells} cells needs one patient group; the groups have shape {given.shape}."
        )
    for place, name in enumerate(given.tolist()):
        if not isinstance(name, str) or not name:
            raise MetricsError(f"A patient group must be a name; at place {place} there is {name!r}.")
    names, group = np.unique(given.astype(str), return_inverse=True)
    return len(names), group


def _draw_groups(patients: int, resamples: int, rows: int, seed: int) -> Iterator[Floats]:
    """Draw as many groups as there are, with replacement: how often each came, `rows` resamples at a time."""
    random = np.random.default_rng(seed)
    even = np.full(patients, 1 / patients)
    for start in range(0, resamples, rows):
        yield random.multinomial(patients, even, size=min(rows, resamples - start)).astype(np.float64)


def _ratios(counts: Floats) -> dict[str, Floats]:
    """Scores of confusion matrices [3]_; `counts` has shape (rows, 4): TN, FP, FN, TP."""
    true_negative, false_positive, false_negative, true_positive = counts.T
    return {
        "accuracy": _ratio(true_positive + true_negative, counts.sum(axis=1)),
        "sensitivity": _ratio(true_positive, true_positive + false_negative),
        "specificity": _ratio(true_negative, true_negative + false_positive),
        "precision": _ratio(true_positive, true_positive + false_positive),
        "f1": _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative),
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@dataclass(frozen=True)
class _Pairs:
    """The cells of both classes put in order once, for the ROC AUC of any weighting of the groups.

    The uninfected cells stand in order of probability; ``below`` and ``upto`` say for each parasitized cell
    how many of them lie under it, and under or level with it.
    """

    parasitized_group: Integers
    uninfected_group: Integers
    below: Integers
    upto: Integers

    @classmethod
    def of(cls, parasitized: Bools, probabilities: Floats, group: Integers) -> "_Pairs":
        order = np.argsort(probabilities[~parasitized])
        uninfected = probabilities[~parasitized][order]
        return cls(
            parasitized_group=group[parasitized],
            uninfected_group=group[~parasitized][order],
            below=np.searchsorted(uninfected, probabilities[parasitized], side="left"),
            upto=np.searchsorted(uninfected, probabilities[parasitized], side="right"),
        )

    def roc_auc(self, drawn: Floats) -> Floats:
        """Share of pairs in the right order, ties one half [4]_: from (rows, groups) to (rows,)."""
        passed = np.zeros((len(drawn), len(self.uninfected_group) + 1))
        np.cumsum(drawn.take(self.uninfected_group, axis=1), axis=1, out=passed[:, 1:])
        beaten = passed.take(self.below, axis=1)
        beaten += passed.take(self.upto, axis=1)
        weight = drawn.take(self.parasitized_group, axis=1)
        return _ratio(np.einsum("rc,rc->r", weight, beaten) / 2, weight.sum(axis=1) * passed[:, -1])


def _groups_bearing(per_group: Integers) -> dict[str, int]:
    """Count the patient groups that bear on each score: those whose own cells alone would define it."""
    ratios = _ratios(per_group.astype(np.float64))
    bearing = {name: int(np.isfinite(values).sum()) for name, values in ratios.items()}
    # A pair needs one cell of each class, which may come from two patients.
    return bearing | {"roc_auc": min(bearing["sensitivity"], bearing["specificity"])}


def _interval(resampled: Floats, groups: int) -> tuple[float, float]:
    defined = resampled[~np.isnan(resampled)]
    if groups < 2 or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _roc_points(parasitized: Bools, probabilities: Floats) -> tuple[tuple[float, float], ...]:
    false_positive_rate, true_positive_rate, _ = sklearn.metrics.roc_curve(parasitized, probabilities)
    if len(false_positive_rate) > ROC_POINTS:
        # Even steps along the curve, finer towards the corner (0, 1), where a good model's curve bends.
        length = false_positive_rate + true_positive_rate
        corner = np.sqrt(false_positive_rate) - np.sqrt(1 - true_positive_rate)
        along = length + corner
        keep = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], ROC_POINTS)))
        false_positive_rate, true_positive_rate = false_positive_rate[keep], true_positive_rate[keep]
    return tuple(zip(false_positive_rate.tolist(), true_positive_rate.tolist(), strict=True))
