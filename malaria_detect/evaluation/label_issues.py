"""Which published labels to doubt first: candidates, ranked by networks that were trained on other patients.

Experts uncertainty about one published label in twenty. A cell's probability from the network that did not train on its
patient says how believable its label is, and the least believable are worth a look. For looking there is
:class:`malaria_detect.app.widgets.label_review.LabelReview`; what comes of it is in
:mod:`malaria_detect.data.corrections`.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from malaria_detect.core.csv_io import read_rows, write_rows
from malaria_detect.data.corrections import Corrections, LabelsError, any_of, corrected_labels
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.cross_validation import HeldOut, read_held_out

PREDICTIONS = "reports/crossval-grouped.csv"
COLUMNS = ("rank", "file", "patient_group", "label", "believed")


@dataclass(frozen=True)
class CandidateError:
    """A published label, and how far networks that were trained on other patients believe it.

    ``rank`` is 1 for the least believable label; ``believed`` is the label's probability, 0 to 1.
    """

    rank: int
    file: str
    patient_group: str
    label: str
    believed: float

    @property
    def contradicted(self) -> bool:
        """Whether the other class is the more probable one."""
        return self.believed < 0.5


def rank_label_errors(
    held_out: HeldOut, label: str | None = None, top: int | None = None
) -> tuple[CandidateError, ...]:
    """Order published labels by how little they are believed.

    A label is ranked by its own probability, the self-confidence of confident learning [1]_. With two classes their
    margin and the cross-entropy order the labels of a class in the same way, and so does any temperature.
    Nothing is taken off for patients whose labels are all believed little: that would hide those that are wrong by the
    dozen.

    Parameters
    ----------
    held_out : HeldOut
        From the cross-validation that keeps patients apart.
    label : str, optional
        Only labels of this class.
    top : int, optional
        At most so many; without it all of them, believable or not.

    Returns
    -------
    tuple of CandidateError
        The least believable first, and by file name where two are believed alike.

    Raises
    ------
    LabelsError
        Where a class is unknown, `top` is below 1, a probability is none, a cell stands there twice, or the cells of
        one patient were held out in several folds, by networks that knew the patient.

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
        raise LabelsError(f"There is no class {label!r}; wanted is {any_of(CLASSES)}.")
    if top is not None and top < 1:
        raise LabelsError(f"{top} candidates were asked for; wanted is 1 or more.")
    _refuse_unfit(held_out)
    believed = [
        probability if published == CLASSES[0] else 1 - probability
        for published, probability in zip(held_out.labels, held_out.probability, strict=True)
    ]
    chosen = [place for place, published in enumerate(held_out.labels) if label in (None, published)]
    chosen.sort(key=lambda place: (believed[place], held_out.files[place]))
    return tuple(
        CandidateError(
            rank, held_out.files[place], held_out.groups[place], held_out.labels[place], believed[place]
        )
        for rank, place in enumerate(chosen[:top], start=1)
    )


def mixed(candidates: Iterable[CandidateError], block: int = 12, seed: int = 0) -> tuple[CandidateError, ...]:
    """Candidates in an order that does not tell their class: so many at a time, half of each class, shuffled.

    The least believable labels are mostly of one class, and who has seen a few of them knows the others' labels.

    Parameters
    ----------
    candidates : iterable of CandidateError
        The least believable first, as :func:`rank_label_errors` orders them; within a class that order stays from
        block to block.
    block : int
        Cells that are looked at together. Where a class is used up, the other one fills the rest.
    seed : int
        The same seed gives the same order.

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
    predictions: str | os.PathLike[str] = PREDICTIONS, label: str | None = None, top: int | None = None
) -> tuple[CandidateError, ...]:
    """Candidates of a file of held-out predictions; all else as in :func:`rank_label_errors`."""
    return rank_label_errors(read_held_out(predictions), label, top)


def write_candidates(candidates: Iterable[CandidateError], path: str | os.PathLike[str]) -> None:
    """Write candidates as CSV with `COLUMNS`; an old file stays until the new one is complete."""
    rows = ((one.rank, one.file, one.patient_group, one.label, f"{one.believed:.6g}") for one in candidates)
    write_rows(Path(path), COLUMNS, rows)


def read_candidates(path: str | os.PathLike[str]) -> tuple[CandidateError, ...]:
    """Read what :func:`write_candidates` has written; a message names the line that is wrong."""
    candidates = []
    for place, (rank, file, group, label, believed) in read_rows(Path(path), COLUMNS):
        try:
            candidate = CandidateError(int(rank), file, group, label, float(believed))
        except ValueError as error:
            raise LabelsError(
                f"{place}: rank {rank!r} and believed {believed!r} should be numbers."
            ) from error
        if label not in CLASSES or not 0 <= candidate.believed <= 1:
            raise LabelsError(
                f"{place}: label {label!r} and believed {believed!r}; wanted are {any_of(CLASSES)}, and 0 to 1."
            )
        candidates.append(candidate)
    return tuple(candidates)


def _refuse_unfit(held_out: HeldOut) -> None:
    for file, times in Counter(held_out.files).items():
        if times > 1:
            raise LabelsError(f"{file} stands {times} times among the predictions; wanted is once.")
    for file, label, probability in zip(held_out.files, held_out.labels, held_out.probability, strict=True):
        if label not in CLASSES or not 0 <= probability <= 1:
            raise LabelsError(
                f"{file} has the label {label!r} and the probability {probability}; wanted are {any_of(CLASSES)}, "
                "and 0 to 1."
            )
    fold_of: dict[str, int] = {}
    for group, fold in zip(held_out.groups, held_out.folds, strict=True):
        if fold_of.setdefault(group, fold) != fold:
            raise LabelsError(
                f"Patient {group} was held out in several folds, by networks that knew other cells of this patient; "
                "wanted are predictions of the grouped cross-validation."
            )


def with_corrections(held_out: HeldOut, corrections: Corrections) -> HeldOut:
    """Held-out predictions with their column `corrected`; errors are those of :func:`corrected_labels`."""
    labels = corrected_labels(held_out.files, held_out.labels, corrections)
    return replace(held_out, corrected=tuple(label or "" for label in labels))
