"""What a cross-validation gave: predictions cell by cell, and what they sum up to. No torch: the page reads it too."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.csv_io import read_rows, write_rows
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import RecordError, from_json
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
COLUMNS = ("file", "patient_group", "fold", "label", "probability", "corrected")


class CrossValidationError(MalariaDetectError):
    """A file of a cross-validation is missing, damaged, or from another run."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out cells, one place in every column for each.

    Attributes
    ----------
    files : tuple of str
        File names.
    groups : tuple of str
        Patient groups.
    folds : tuple of int
        The fold that held the cell out, from 1.
    labels : tuple of str
        Published labels.
    probability : tuple of float
        Of parasitized, 0 to 1, not calibrated, from the network that did not train on the cell.
    corrected : tuple of str
        Labels as corrected: the published ones where nobody objected, empty where an expert was unsure.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    folds: tuple[int, ...]
    labels: tuple[str, ...]
    probability: tuple[float, ...]
    corrected: tuple[str, ...]

    @property
    def parasitized(self) -> NDArray[np.bool_]:
        """Whether the published label says parasitized."""
        return np.array(self.labels) == CLASSES[0]

    @property
    def p(self) -> NDArray[np.float64]:
        """The probabilities as an array."""
        return np.array(self.probability)

    def cells(self, kept: Sequence[int] | NDArray[np.int64]) -> "HeldOut":
        """Some of the cells, by position."""
        columns = {
            name: column and tuple(column[index] for index in kept) for name, column in vars(self).items()
        }
        return HeldOut(**columns)


def read_held_out(path: str | os.PathLike[str]) -> HeldOut:
    """Read held-out predictions, as :func:`write_held_out` wrote them.

    Raises
    ------
    MalariaDetectError
        Where the file is missing, or a row is not what it should be; the message names the line.
    """
    cells = []
    for place, (file, group, fold, label, probability, corrected) in read_rows(Path(path), COLUMNS):
        try:
            cell = file, group, int(fold), label, float(probability), corrected
        except ValueError as error:
            raise CrossValidationError(f"{place}: fold and probability are numbers.") from error
        if not label or {label, corrected} - {*CLASSES, ""} or not 0 <= cell[4] <= 1:
            raise CrossValidationError(
                f"{place}: labels are {' or '.join(CLASSES)}, and a probability lies between 0 and 1."
            )
        cells.append(cell)
    if not cells:
        raise CrossValidationError(f"{path} holds no cell: `malaria-detect evaluate` writes it.")
    return HeldOut(*zip(*cells, strict=True))


def write_held_out(held_out: HeldOut, path: Path) -> None:
    """Write held-out predictions as CSV, sorted by class and file name."""
    rows = sorted(zip(*vars(held_out).values(), strict=True), key=lambda row: (row[3], row[0]))
    write_rows(path, COLUMNS, ((*row[:4], f"{row[4]:.6f}", row[5]) for row in rows))


@dataclass(frozen=True)
class Run:
    """How a cross-validation was run.

    Attributes
    ----------
    split : str
        grouped or random.
    folds : int
    settings : dict
        Of the training, see :class:`malaria_detect.training.fit.TrainSettings`.
    cells : str
        Fingerprint of the cells, and of the corrections where there were some.
    start : StartWeights
    histories : tuple of tuple of Epoch
        The epochs of every fold; their scores are on the held-out cells, and nothing was chosen by them.
    versions : dict of str to str
    created : str
        Date.
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
        """Whether a patient's cells were trained on and scored on: then the scores are too high."""
        return self.split == RANDOM


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation gave; a cell is called parasitized from a probability of 0.5 on.

    Attributes
    ----------
    run : Run
    scores : Scores
        On the published labels.
    corrected_scores : Scores or None
        On corrected labels, where there are some.
    patients : tuple of PatientCounts
        Every patient group.
    within : Estimate
        Share of the patients whose share of parasitized cells is called within 5 points.
    """

    run: Run
    scores: Scores
    corrected_scores: Scores | None
    patients: tuple[PatientCounts, ...]
    within: Estimate


@dataclass(frozen=True)
class Evaluation:
    """Both cross-validations, and what patients on both sides pretend.

    Attributes
    ----------
    grouped, random : CrossValidation
    leakage : dict of str to Estimate
        Scores of the random split less those of the grouped folds, on the same cells: those that both held out.
    leakage_cells : int
        How many those are.
    """

    grouped: CrossValidation
    random: CrossValidation
    leakage: dict[str, Estimate]
    leakage_cells: int


def summarise(held_out: HeldOut, run: Run) -> CrossValidation:
    """Score held-out predictions, pooled over the folds, and count them patient by patient."""
    parasitized, groups = held_out.parasitized, list(held_out.groups)
    patients = count_patients(parasitized, held_out.p >= THRESHOLD, groups)
    corrected = None
    kept = held_out.cells([index for index, label in enumerate(held_out.corrected) if label])
    truth = np.array(kept.corrected) == CLASSES[0]
    if held_out.corrected != held_out.labels and len(set(truth)) == 2:
        corrected = score(truth, kept.p, list(kept.groups), THRESHOLD)
    return CrossValidation(
        run=run,
        scores=score(parasitized, held_out.p, groups, THRESHOLD),
        corrected_scores=corrected,
        patients=patients,
        within=share_within(patients),
    )


def compare(grouped: tuple[HeldOut, Run], random: tuple[HeldOut, Run]) -> Evaluation:
    """The leakage meter: what a random split promises beside what holds for patients that were never seen.

    Raises
    ------
    CrossValidationError
        Where the two were not run alike, or share no cell.
    """
    runs = grouped[1], random[1]
    if (runs[0].split, runs[1].split) != (GROUPED, RANDOM):
        raise CrossValidationError(
            f"One grouped and one random run are compared, not {runs[0].split} and {runs[1].split}."
        )
    # What the shares of the split say differs on purpose.
    alike = [(run.cells, {**run.settings, "valid": None, "test": None}) for run in runs]
    if alike[0] != alike[1]:
        raise CrossValidationError(
            "The grouped and the random run differ in more than the split (settings, cells or corrections): "
            "run both alike."
        )
    place = {file: index for index, file in enumerate(grouped[0].files)}
    both = [index for index, file in enumerate(random[0].files) if file in place]
    if not both:
        raise CrossValidationError("The grouped and the random run share no cell.")
    second = random[0].cells(both)
    first = grouped[0].cells([place[file] for file in second.files])
    leakage = difference(second.parasitized, second.p, first.p, list(second.groups), THRESHOLD)
    return Evaluation(summarise(*grouped), summarise(*random), leakage, len(both))


def read_evaluation(path: str | os.PathLike[str] = "reports/evaluation.json") -> Evaluation:
    """Read the summary that ``make report`` wrote.

    Raises
    ------
    CrossValidationError
        Where it is missing or no such summary.
    """
    return _read(Evaluation, Path(path))


def read_run(path: str | os.PathLike[str]) -> tuple[HeldOut, Run]:
    """Read a cross-validation's two files: the predictions, ``.csv``, and how it was run, ``.json`` beside it.

    Raises
    ------
    CrossValidationError
        Where one of them is missing or damaged.
    """
    return read_held_out(path), _read(Run, Path(path).with_suffix(".json"))


def _read(kind: type[Any], path: Path) -> Any:
    try:
        return from_json(kind, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecordError) as error:
        raise CrossValidationError(
            f"{path} cannot be read ({error}): `malaria-detect evaluate` and `make report` write it."
        ) from error
