"""Records of scores, and checks of labels, probabilities and patient groups; needs only NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from malaria_detect.core.errors import MalariaDetectError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Groups = Sequence[str] | NDArray[np.str_]


class MetricsError(MalariaDetectError):
    """Labels, probabilities or patient groups that cannot be scored.

    ``reason`` is ``bad_labels``, ``one_class``, ``bad_probability``, ``bad_groups``, ``bad_counts``, ``bad_setting``
    or ``no_solution``.
    """


@dataclass(frozen=True)
class Estimate:
    """One score with its 95 % interval over patients.

    Attributes
    ----------
    value : float
        The score. NaN if it is 0 / 0, such as the precision of a model that calls no cell parasitized.
    low, high : float
        Ends of the interval (:mod:`malaria_detect.metrics.intervals`). NaN if fewer than two patient groups contribute.
    hits, total : int or None
        For a proportion, ``value == hits / total`` in cells (or in patients); None for other scores (F1, ROC AUC).
    """

    value: float
    low: float
    high: float
    hits: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of a model on some cells; the positive class is Parasitized.

    Attributes
    ----------
    cells, patients, parasitized : int
        Cells scored, their patient groups, and the cells labelled parasitized.
    threshold : float
        A cell is called parasitized if its probability is at least this.
    true_positive, false_negative, false_positive, true_negative : int
        Confusion matrix in cells. Positive means called parasitized.
    estimates : dict of str to Estimate
        accuracy, sensitivity, specificity, precision, f1, mcc, roc_auc, average_precision, brier, ece, in this order.
        mcc is in [-1, 1], the others in [0, 1]; for brier and ece, lower is better.
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


@dataclass(frozen=True)
class PatientCounts:
    """Number of cells of one patient by label, and how many of each label were called parasitized.

    Examples
    --------
    >>> patient = PatientCounts("C1P1", parasitized=4, uninfected=16, true_positive=3, false_positive=1)
    >>> patient.sensitivity, patient.false_positive_rate, patient.accuracy
    (0.75, 0.0625, 0.9)
    """

    group: str
    parasitized: int
    uninfected: int
    true_positive: int
    false_positive: int

    def __post_init__(self) -> None:
        """Check that the counts are possible."""
        fits = 0 <= self.true_positive <= self.parasitized and 0 <= self.false_positive <= self.uninfected
        if not fits or not self.parasitized + self.uninfected:
            raise MetricsError(
                f"Patient {self.group} cannot have {self.true_positive} of {self.parasitized} parasitized and "
                f"{self.false_positive} of {self.uninfected} uninfected cells called parasitized.",
                reason="bad_counts",
            )

    @property
    def cells(self) -> int:
        """Cells of both labels."""
        return self.parasitized + self.uninfected

    @property
    def sensitivity(self) -> float:
        """Share of the parasitized cells that are called parasitized; NaN if there are none."""
        return self.true_positive / self.parasitized if self.parasitized else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """Share of the uninfected cells that are called parasitized; NaN if there are none."""
        return self.false_positive / self.uninfected if self.uninfected else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of all cells whose call agrees with the label."""
        return (self.true_positive + self.uninfected - self.false_positive) / self.cells


@dataclass(frozen=True)
class ReliabilityBin:
    """Cells of similar probability: predicted and observed share of parasitized cells.

    Attributes
    ----------
    cells : int
    mean_probability : float, in [0, 1]
        Mean of their probabilities of parasitized.
    share, low, high : float, in [0, 1]
        Share labelled parasitized, and its 95 % interval.
    """

    cells: int
    mean_probability: float
    share: float
    low: float
    high: float


def checked_cells(labels: ArrayLike, probability: ArrayLike) -> tuple[Bools, Floats]:
    """Labels and probabilities as arrays, after checks; both classes must be present."""
    parasitized, probabilities = checked_pairs(labels, probability)
    wrong = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if len(wrong):
        raise MetricsError(
            f"Probabilities must be between 0 and 1; {len(wrong)} of {len(probabilities)} are not, first {wrong[0]}.",
            reason="bad_probability",
        )
    return parasitized, probabilities


def checked_pairs(labels: ArrayLike, values: ArrayLike) -> tuple[Bools, Floats]:
    """Labels of both classes, and one finite number for each."""
    parasitized, given = checked_labels(labels), np.asarray(values)
    if given.shape != parasitized.shape or given.dtype.kind not in "fiu" or not np.isfinite(given).all():
        raise MetricsError(
            f"Each of the {len(parasitized)} labels needs one finite number; "
            f"they are {given.dtype} of shape {given.shape}.",
            reason="bad_probability",
        )
    if len(set(parasitized.tolist())) < 2:
        raise MetricsError("There must be both parasitized and uninfected cells.", reason="one_class")
    return parasitized, given.astype(np.float64)


def checked_labels(labels: ArrayLike) -> Bools:
    """Labels as an array of bool; class numbers are refused, because the network numbers Parasitized as 0."""
    parasitized = np.asarray(labels)
    if parasitized.ndim != 1 or parasitized.dtype != np.bool_:
        raise MetricsError(
            "Labels and calls must be lists of True (parasitized) and False (uninfected); "
            f"they are {parasitized.dtype} of shape {parasitized.shape}.",
            reason="bad_labels",
        )
    return parasitized


def numbered_groups(groups: Groups, cells: int) -> tuple[tuple[str, ...], Integers]:
    """Sorted names of the patient groups, and the number of each cell's group among them."""
    given = np.asarray(groups)
    if given.shape != (cells,):
        raise MetricsError(
            f"Each of the {cells} cells needs one patient group; the groups have shape {given.shape}.",
            reason="bad_groups",
        )
    for name in given.tolist():
        if not isinstance(name, str) or not name:
            raise MetricsError(f"A patient group must be a name, not {name!r}.", reason="bad_groups")
    names, group = np.unique(given.astype(str), return_inverse=True)
    return tuple(names.tolist()), group
