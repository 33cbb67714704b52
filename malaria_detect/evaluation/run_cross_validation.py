"""Run a cross-validation: each cell is scored by a network that was not trained on it or, grouped, on its patient."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.special import expit
from tqdm.auto import tqdm

from malaria_detect.core.atomic import check_writable, write_text
from malaria_detect.core.json_io import read_record, to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.splits import GROUPED, RANDOM_HELD_OUT, folds_of
from malaria_detect.evaluation.cross_validation import HeldOut, Run, write_held_out
from malaria_detect.inference.held_out import held_out_logits
from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.training.convert import classifier_of
from malaria_detect.training.design import Design
from malaria_detect.training.fit import fit
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.settings import TrainingError, TrainSettings, recorded

_FOLD = "fold.json"


@dataclass(frozen=True)
class CrossValidationPlan:
    """How to cross-validate a design.

    Attributes
    ----------
    settings : TrainSettings
        Cells are scored at the last of its image sizes; its ``valid`` and ``test`` are not used.
    work : Path
        Gets a folder for each fold, with its checkpoint and, when it is finished, its probabilities.
    prefix : str
        Begins the names of these folders, so that several designs can share one work folder, and with it the features
        of frozen trunks.
    how, folds : str, int
        As in :func:`malaria_detect.data.splits.folds_of`.
    resume : bool
        Continue after the last finished epoch of the last finished fold.
    """

    design: Design
    settings: TrainSettings
    work: Path
    how: str = GROUPED
    folds: int = 5
    resume: bool = False
    progress: bool = True
    prefix: str = ""

    def runs(self, data: LabelledCells) -> list[TrainingRun]:
        """A training run for each fold, in which the held-out cells are the validation cells.

        Folds are cut by the published labels, so that runs with and without corrections hold out the same cells.
        """
        splits = folds_of(data.cells, self.how, self.folds, self.settings.seed)
        share = RANDOM_HELD_OUT if self.folds == 1 else 1 / self.folds
        # Keeping the best epoch, or stopping early, would choose by the cells that are scored.
        settings = replace(self.settings, valid=share, test=0.0, keep="last", patience=0)
        names = (f"{self.prefix}{self.how}-{number}-of-{self.folds}" for number in range(1, self.folds + 1))
        return [
            TrainingRun(
                self.design, settings, data, split, self.work / name, self.resume, self.progress, name
            )
            for name, split in zip(names, splits, strict=True)
        ]


@dataclass(frozen=True)
class _Fold:
    """A finished fold, as its folder keeps it."""

    run: dict[str, Any]
    start: StartWeights
    history: tuple[Epoch, ...]
    predictions: tuple[tuple[str, float], ...]


def cross_validate(data: LabelledCells, plan: CrossValidationPlan, output: Path) -> tuple[HeldOut, Run]:
    """Cross-validate a design, and write the probability of every held-out cell.

    The network of a fold is that of its last epoch, or the average of its last epochs. Scores on held-out cells are
    shown after every epoch, but choose no setting and no epoch.

    Networks are trained on corrected labels, and not on cells of which an expert was unsure. The predictions are
    written to `output`, ``.csv``; how they were made is written with the same name and ``.json``.

    Raises
    ------
    MalariaDetectError
        If cells, settings, folds, weights or checkpoints cannot be used.
    """
    if output.suffix != ".csv":
        raise TrainingError(f"The name of the table must end in .csv; got {output}.", "output")
    for file in (output, output.with_suffix(".json")):
        check_writable(file)
    runs = plan.runs(data)
    finished = sum((run.work / _FOLD).is_file() for run in runs)
    if finished and not plan.resume:
        raise TrainingError(
            f"{plan.work} contains {finished} finished folds of {plan.folds}. Continue with --resume, or choose "
            "another --work.",
            "unfinished",
        )
    for run in runs:
        run.check()  # all of them, before hours of training
    folds = [_finished(run) or _run_fold(run) for run in runs]
    held_out = _pooled(runs, folds)
    record = Run(
        split=plan.how,
        folds=plan.folds,
        settings=recorded(runs[0].settings),
        cells=data.fingerprint,
        start=folds[0].start,
        histories=tuple(fold.history for fold in folds),
        versions=library_versions(),
        created=today(),
    )
    write_held_out(held_out, output)
    write_text(output.with_suffix(".json"), to_json(record))
    return held_out, record


def _run_fold(run: TrainingRun) -> _Fold:
    if run.progress:
        tqdm.write(f"fold {run.how}")
    fitted, cells = fit(run), run.held_out()
    transform = run.input_transform(run.settings.epochs[-1])
    classifier = classifier_of(fitted.network, transform.size)
    logits = held_out_logits(classifier, transform, cells, "scoring held-out cells", run.progress)
    predictions = tuple(
        (cell.name, round(float(probability), 6))
        for cell, probability in zip(cells, expit(logits), strict=True)
    )
    fold = _Fold(run.identity, fitted.start, fitted.history, predictions)
    write_text(run.work / _FOLD, to_json(fold))
    return fold


def _finished(run: TrainingRun) -> _Fold | None:
    """A fold that was finished earlier, in a run with the same settings and cells."""
    file = run.work / _FOLD
    if not file.is_file():
        return None
    fold = read_record(_Fold, file, TrainingError, "Move it away.")
    if fold.run != run.identity:
        raise TrainingError(
            f"{run.work} contains a fold with other settings, cells or corrections. Use the same ones, or choose "
            "another folder with --work.",
            "other_run",
        )
    if [name for name, _ in fold.predictions] != [cell.name for cell in run.held_out()]:
        raise TrainingError(
            f"{run.work} contains a fold of other cells (another version of scikit-learn?). Choose another --work.",
            "other_cells",
        )
    return fold


def _pooled(runs: list[TrainingRun], folds: list[_Fold]) -> HeldOut:
    cells = [cell for run in runs for cell in run.held_out()]
    return HeldOut(
        files=tuple(cell.name for cell in cells),
        groups=tuple(cell.group for cell in cells),
        folds=tuple(number for number, run in enumerate(runs, start=1) for _ in run.split.valid),
        labels=tuple(cell.label for cell in cells),
        probability=tuple(probability for fold in folds for _, probability in fold.predictions),
        corrected=tuple(run.data.corrected[index] or "" for run in runs for index in run.split.valid),
    )
