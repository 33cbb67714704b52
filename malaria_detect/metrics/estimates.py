"""What a score is: a value with its interval, and the scores of some cells together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from malaria_detect.errors import MalariaDetectError

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
        Ends of the 95 % interval (:mod:`malaria_detect.metrics.bootstrap`). Both NaN where fewer than two patient
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
