"""Results of a cross-validation: predictions for every cell, and their scores; no torch, because the page reads it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.csv_io import read_rows, write_rows
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import read_record
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.splits import GROUPED, RANDOM
from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.metrics import (
    Estimate,
    PatientCounts,
    Scores,
    count_patients,
    difference,
    score,
    share_within,
)

EVALUATION = "evaluation.json"  # the summary in reports/
THRESHOLD = 0.5
_COLUMNS = ("file", "patient_group", "fold", "label", "probability", "corrected")
_WRITTEN_BY = "`malaria-detect evaluate` and `make report` write it."


class CrossValidationError(MalariaDetectError):
    """A file of a cross-validation is missing, damaged, or of another run.

    ``reason`` is ``missing``, ``damaged``, ``empty``, ``wrong_splits``, ``settings_differ`` or ``no_common_cells``.
    """


@dataclass(frozen=True)
class HeldOut:
    """Predictions for held-out cells, as columns of equal length.

    Attributes
    ----------
    files, groups, labels : tuple of str
        File names, patient groups and published labels.
    folds : tuple of int
        The fold that held the cell out, starting at 1.
    probability : tuple of float
        Probability of parasitized, 0 to 1, not calibrated, from the network that was not trained on the cell.
    corrected : tuple of str
        Corrected labels: the published label if there is no verdict, empty if an expert was unsure.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    folds: tuple[int, ...]
    labels: tuple[str, ...]
    probability: tuple[float, ...]
    corrected: tuple[str, ...]

    @property
    def parasitized(self) -> NDArray[np.bool_]:
        """Whether the published label is parasitized, (N,)."""
        return np.array(self.labels) == CLASSES[0]

    @property
    def p(self) -> NDArray[np.float64]:
        """The probabilities as an array, (N,)."""
        return np.array(self.probability)

    def cells(self, kept: Sequence[int] | NDArray[np.int64]) -> "HeldOut":
        """The cells at some positions."""
        return HeldOut(*(tuple(column[index] for index in kept) for column in vars(self).values()))


def read_held_out(path: str | os.PathLike[str]) -> HeldOut:
    """Read held-out predictions that :func:`write_held_out` wrote; an error names the line that is wrong."""
    cells = []
    for place, (file, group, fold, label, probability, corrected) in read_rows(Path(path), _COLUMNS):
        try:
            cell = file, group, int(fold), label, float(probability), corrected
        except ValueError as error:
            raise CrossValidationError(
                f"{place}: fold and probability must be numbers.", "damaged"
            ) from error
        if not label or {label, corrected} - {*CLASSES, ""} or not 0 <= cell[4] <= 1:
            raise CrossValidationError(
                f"{place}: labels must be {' or '.join(CLASSES)}, probabilities between 0 and 1.", "damaged"
            )
        cells.append(cell)
    if not cells:
        raise CrossValidationError(f"{path} contains no cells. `malaria-detect evaluate` writes it.", "empty")
    return HeldOut(*zip(*cells, strict=True))


def write_held_out(held_out: HeldOut, path: Path) -> None:
    """Write held-out predictions as CSV, sorted by class and file name."""
    rows = sorted(zip(*vars(held_out).values(), strict=True), key=lambda row: (row[3], row[0]))
    write_rows(path, _COLUMNS, ((*row[:4], f"{row[4]:.6f}", row[5]) for row in rows))


@dataclass(frozen=True)
class Run:
    """How a cross-validation was run.

    Attributes
    ----------
    split : str
        grouped or random.
    settings : dict
        See :class:`malaria_detect.training.settings.TrainSettings`.
    cells : str
        Fingerprint of the cells and of the corrections, if there were any.
    histories : tuple of tuple of Epoch
        The epochs of every fold, with scores on the held-out cells. These scores chose no setting and no epoch.
    """

    split: str
    folds: int
    settings: dict[str, Any]
    cells: str
    start: StartWeights
    histories: tuple[tuple[Epoch, ...], ...]
    versions: dict[str, str]
    created: str

    @property
    def patients_on_both_sides(self) -> bool:
        """Whether cells of one patient are in training and held-out cells, so that the scores are too high."""
        return self.split == RANDOM


@dataclass(frozen=True)
class CrossValidation:
    """Scores of a cross-validation; cells with a probability of 0.5 or more are called parasitized.

    Attributes
    ----------
    scores, corrected_scores : Scores, Scores or None
        On the published labels, and on corrected ones if there are any.
    patients : tuple of PatientCounts
        Every patient group.
    within : Estimate
        Share of patients whose share of parasitized cells is correct within 5 percentage points.
    """

    run: Run
    scores: Scores
    corrected_scores: Scores | None
    patients: tuple[PatientCounts, ...]
    within: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Cross-validations by patient and at random, and the effect of patient-level leakage.

    ``leakage`` has the scores of the random split minus those of the grouped folds, on the ``leakage_cells`` cells that
    both held out.
    """

    grouped: CrossValidation
    random: CrossValidation
    leakage: dict[str, Estimate]
    leakage_cells: int


def summarise(held_out: HeldOut, run: Run) -> CrossValidation:
    """Scores of held-out predictions, pooled over the folds, and counts for each patient."""
    parasitized, groups = held_out.parasitized, held_out.groups
    patients = count_patients(parasitized, held_out.p >= THRESHOLD, groups)
    corrected = None
    kept = held_out.cells([index for index, label in enumerate(held_out.corrected) if label])
    truth = np.array(kept.corrected) == CLASSES[0]
    if held_out.corrected != held_out.labels and len(set(truth)) == 2:
        corrected = score(truth, kept.p, kept.groups, THRESHOLD)
    return CrossValidation(
        run=run,
        scores=score(parasitized, held_out.p, groups, THRESHOLD),
        corrected_scores=corrected,
        patients=patients,
        within=share_within(patients),
    )


def compare_splits(grouped: tuple[HeldOut, Run], random: tuple[HeldOut, Run]) -> Evaluation:
    """The effect of patient-level leakage: a random split compared with a split by patient.

    Two that were run with different settings, or share no cell, raise CrossValidationError.
    """
    runs = grouped[1], random[1]
    if (runs[0].split, runs[1].split) != (GROUPED, RANDOM):
        raise CrossValidationError(
            f"A grouped and a random run are needed; got {runs[0].split} and {runs[1].split}.", "wrong_splits"
        )
    # The shares of the split differ on purpose.
    settings = [(run.cells, {**run.settings, "valid": None, "test": None}) for run in runs]
    if settings[0] != settings[1]:
        raise CrossValidationError(
            "The grouped and the random run differ in settings, cells or corrections. Run both in the same way.",
            "settings_differ",
        )
    place = {file: index for index, file in enumerate(grouped[0].files)}
    both = [index for index, file in enumerate(random[0].files) if file in place]
    if not both:
        raise CrossValidationError("The grouped and the random run share no cell.", "no_common_cells")
    second = random[0].cells(both)
    first = grouped[0].cells([place[file] for file in second.files])
    leakage = difference(second.parasitized, second.p, first.p, second.groups, THRESHOLD)
    return Evaluation(summarise(*grouped), summarise(*random), leakage, len(both))


def read_evaluation(path: str | os.PathLike[str] = "reports/evaluation.json") -> Evaluation:
    """Read the summary that ``make report`` wrote; a missing or damaged file raises CrossValidationError."""
    return read_record(Evaluation, path, CrossValidationError, _WRITTEN_BY)


def read_run(path: str | os.PathLike[str]) -> tuple[HeldOut, Run]:
    """Read the two files of a cross-validation: the predictions, ``.csv``, and how it was run, ``.json``.

    A missing or damaged file raises MalariaDetectError.
    """
    run = Path(path).with_suffix(".json")
    return read_held_out(path), read_record(Run, run, CrossValidationError, _WRITTEN_BY)
