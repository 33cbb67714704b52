"""What a score is: a value with its interval, and the records of some cells together. No scipy, no scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from malaria_detect.core.errors import MalariaDetectError

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
        The score of the cells as they are. NaN where it is 0 / 0: the precision of a model that calls no cell
        parasitized.
    low, high : float
        Ends of the 95 % interval (:mod:`malaria_detect.metrics.intervals`). Both NaN where fewer than two patient
        groups bear on the score: from one patient nobody learns how much patients differ.
    hits, total : int or None
        For a proportion, ``value == hits / total`` in cells (or in patients, where patients are counted); None for
        the others (F1, ROC AUC).
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
        accuracy, sensitivity, specificity, precision, f1, mcc, roc_auc, average_precision, brier, ece, in this order.
        mcc lies in -1 to 1, the others in 0 to 1; of brier and ece less is better.
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
    """One patient's cells by label, and how many of them were called parasitized.

    Parameters
    ----------
    group : str
        Patient group (:func:`malaria_detect.data.nlm_cells.patient_group`).
    parasitized, uninfected : int
        Cells by label.
    true_positive, false_positive : int
        Those of them that were called parasitized.

    Examples
    --------
    >>> patient = PatientCounts("C1P1", parasitized=4, uninfected=16, true_positive=3, false_positive=1)
    >>> patient.sensitivity, patient.false_positive_rate, patient.accuracy
    (0.75, 0.0625, 0.9)
    >>> patient.labelled_share, patient.called_share
    (0.2, 0.2)
    """

    group: str
    parasitized: int
    uninfected: int
    true_positive: int
    false_positive: int

    def __post_init__(self) -> None:
        """Refuse counts that no patient can have."""
        fits = 0 <= self.true_positive <= self.parasitized and 0 <= self.false_positive <= self.uninfected
        if not fits or not self.parasitized + self.uninfected:
            raise MetricsError(
                f"Patient {self.group} cannot have {self.true_positive} of {self.parasitized} parasitized and "
                f"{self.false_positive} of {self.uninfected} uninfected cells called parasitized."
            )

    @property
    def cells(self) -> int:
        """Cells of both labels."""
        return self.parasitized + self.uninfected

    @property
    def sensitivity(self) -> float:
        """Share of the parasitized cells that were called so; NaN for a patient without any."""
        return self.true_positive / self.parasitized if self.parasitized else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """Share of the uninfected cells that were called parasitized; NaN for a patient without any."""
        return self.false_positive / self.uninfected if self.uninfected else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of all cells called as they are labelled."""
        return (self.true_positive + self.uninfected - self.false_positive) / self.cells

    @property
    def called_share(self) -> float:
        """Share of all cells called parasitized."""
        return (self.true_positive + self.false_positive) / self.cells

    @property
    def labelled_share(self) -> float:
        """Share of all cells labelled parasitized."""
        return self.parasitized / self.cells


@dataclass(frozen=True)
class ReliabilityBin:
    """Cells of like probability: what the model said of them, and what they are.

    Parameters
    ----------
    cells : int
        Cells in the bin.
    mean_probability : float, in [0, 1]
        Mean of their probabilities of parasitized.
    share : float, in [0, 1]
        Share of them that is labelled parasitized.
    low, high : float, in [0, 1]
        95 % interval of the share, in which cells of one patient are not taken for so many cases.
    """

    cells: int
    mean_probability: float
    share: float
    low: float
    high: float


def checked_cells(labels: ArrayLike, probability: ArrayLike) -> tuple[Bools, Floats]:
    """Labels and probabilities as arrays, refused where they are something else; both classes must be there."""
    parasitized = checked_labels(labels)
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
    need_both_classes(parasitized)
    return parasitized, probabilities


def checked_labels(labels: ArrayLike) -> Bools:
    """Labels as an array of bool; class numbers are refused, because Parasitized is the network's 0."""
    parasitized = np.asarray(labels)
    if parasitized.ndim != 1 or parasitized.dtype != np.bool_:
        raise MetricsError(
            "The labels must be one list of True (parasitized) and False (uninfected); "
            f"they are {parasitized.dtype} of shape {parasitized.shape}."
        )
    return parasitized


def need_both_classes(parasitized: Bools) -> None:
    """Refuse cells of one class only."""
    count = int(parasitized.sum())
    if count in (0, len(parasitized)):
        raise MetricsError(
            "The scores need both parasitized and uninfected cells; "
            f"{count} of {len(parasitized)} cells are labelled parasitized."
        )


def numbered_groups(groups: Sequence[str] | NDArray[np.str_], cells: int) -> tuple[tuple[str, ...], Integers]:
    """Names of the patient groups, and each cell's place among them.

    They are numbered by name, so that the order of the cells does not matter.
    """
    given = np.asarray(groups)
    if given.shape != (cells,):
        raise MetricsError(
            f"Each of the {cells} cells needs one patient group; the groups have shape {given.shape}."
        )
    for place, name in enumerate(given.tolist()):
        if not isinstance(name, str) or not name:
            raise MetricsError(f"A patient group must be a name; at place {place} there is {name!r}.")
    names, group = np.unique(given.astype(str), return_inverse=True)
    return tuple(names.tolist()), group
