"""Candidate label errors: published labels that networks trained on other patients find least plausible.

Experts rejected about one published label in twenty. The ranking says which labels to review first; a person decides,
with :class:`malaria_detect.app.widgets.label_review.LabelReview`, and the verdicts are kept as
:mod:`malaria_detect.data.corrections` describes.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from malaria_detect.core.csv_io import write_rows
from malaria_detect.data.corrections import Corrections, LabelsError, corrected_labels
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.cross_validation import HeldOut, read_held_out

_COLUMNS = ("rank", "file", "patient_group", "label", "believed")


@dataclass(frozen=True)
class CandidateError:
    """A published label and its probability.

    The rank is 1 for the least plausible label. ``believed`` is the probability of the label, 0 to 1, by a network that
    was trained on other patients.
    """

    rank: int
    file: str
    patient_group: str
    label: str
    believed: float

    @property
    def contradicted(self) -> bool:
        """Whether the other class is more probable."""
        return self.believed < 0.5


def rank_label_errors(
    held_out: HeldOut, label: str | None = None, top: int | None = None
) -> tuple[CandidateError, ...]:
    """Published labels, the least plausible first.

    Labels are ranked by their own probability, the self-confidence of confident learning [1]_. With two classes, margin
    and cross-entropy give the same order within a class, and so does any temperature. The ranking is not adjusted for
    patients whose labels all have low probabilities, because that would hide patients with many wrong labels.

    Parameters
    ----------
    held_out : HeldOut
        From the cross-validation by patient.
    label, top : str, int, optional
        Only labels of this class; largest number of candidates.

    Returns
    -------
    tuple of CandidateError
        In order of probability, then of file name.

    Raises
    ------
    LabelsError
        If a class is unknown, a probability is not between 0 and 1, a cell occurs twice, or cells of one patient were
        held out in several folds.

    References
    ----------
    .. [1] Northcutt, Jiang and Chuang 2021, Confident learning: estimating uncertainty in dataset labels,
       J. Artif. Intell. Res. 70:1373-1411.

    Examples
    --------
    >>> labels = ("Parasitized", "Uninfected")
    >>> held_out = HeldOut(("a", "b"), ("P1", "P2"), (1, 2), labels, (0.75, 0.5), corrected=labels)
    >>> [(one.rank, one.file, one.believed) for one in rank_label_errors(held_out)]
    [(1, 'b', 0.5), (2, 'a', 0.75)]
    """
    if label is not None and label not in CLASSES:
        raise LabelsError(f"There is no class {label!r}. Choose {' or '.join(CLASSES)}.", "unknown_class")
    if top is not None and top < 1:
        raise LabelsError(f"The number of candidates must be 1 or more; got {top}.", "top")
    _refuse_unfit(held_out)
    believed = [
        probability if published == CLASSES[0] else 1 - probability
        for published, probability in zip(held_out.labels, held_out.probability, strict=True)
    ]
    cells = zip(believed, held_out.files, held_out.groups, held_out.labels, strict=True)
    chosen = sorted(cell for cell in cells if label in (None, cell[3]))[:top]
    return tuple(
        CandidateError(rank, file, group, published, probability)
        for rank, (probability, file, group, published) in enumerate(chosen, start=1)
    )


def mixed(candidates: Iterable[CandidateError], block: int = 12, seed: int = 0) -> tuple[CandidateError, ...]:
    """Candidates in an order that does not reveal their class: shuffled blocks with half of each class.

    The least plausible labels are mostly of one class, so that a reviewer could guess the label of the next cell.

    `candidates` are in the order of :func:`rank_label_errors`; within a class, blocks keep it. A block has `block`
    cells; when one class is used up, the other one fills the rest.

    Examples
    --------
    >>> four = [
    ...     CandidateError(n, f"{n}.png", "P1", "Uninfected" if n < 3 else "Parasitized", n / 10)
    ...     for n in range(1, 5)
    ... ]
    >>> sorted(one.rank for one in mixed(four, block=2)[:2])
    [1, 3]
    """
    random = Random(seed)
    waiting = {label: deque[CandidateError]() for label in CLASSES}
    for one in candidates:
        waiting[one.label].append(one)
    order: list[CandidateError] = []
    while any(waiting.values()):
        together: list[CandidateError] = []
        while len(together) < block and any(waiting.values()):
            together += [queue.popleft() for queue in waiting.values() if queue]
        random.shuffle(together)
        order += together
    return tuple(order)


def candidates_from(
    predictions: str | os.PathLike[str] = "reports/crossval-grouped.csv",
    label: str | None = None,
    top: int | None = None,
) -> tuple[CandidateError, ...]:
    """Candidates from a file of held-out predictions, see :func:`rank_label_errors`."""
    return rank_label_errors(read_held_out(predictions), label, top)


def write_candidates(candidates: Iterable[CandidateError], path: str | os.PathLike[str]) -> None:
    """Write candidates as CSV with the columns `_COLUMNS`."""
    rows = ((one.rank, one.file, one.patient_group, one.label, f"{one.believed:.6g}") for one in candidates)
    write_rows(Path(path), _COLUMNS, rows)


def _refuse_unfit(held_out: HeldOut) -> None:
    file, times = max(Counter(held_out.files).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise LabelsError(f"The predictions contain {file} {times} times. Remove the others.", "twice")
    for file, label, probability in zip(held_out.files, held_out.labels, held_out.probability, strict=True):
        if label not in CLASSES or not 0 <= probability <= 1:
            raise LabelsError(
                f"{file}: the label must be {' or '.join(CLASSES)}, the probability between 0 and 1; got {label!r} and "
                f"{probability}.",
                "damaged",
            )
    fold_of: dict[str, int] = {}
    for group, fold in zip(held_out.groups, held_out.folds, strict=True):
        if fold_of.setdefault(group, fold) != fold:
            raise LabelsError(
                f"Patient {group} was held out in several folds, by networks that were trained on other cells of this "
                "patient. Use the predictions of the cross-validation by patient.",
                "leakage",
            )


def with_corrections(held_out: HeldOut, corrections: Corrections) -> HeldOut:
    """Held-out predictions with corrected labels; errors as in `corrected_labels`."""
    labels = corrected_labels(held_out.files, held_out.labels, corrections)
    return replace(held_out, corrected=tuple(label or "" for label in labels))
