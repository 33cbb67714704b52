"""Run a cross-validation: every cell's probability from a network that never saw the cell or, grouped, its patient."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastai.vision.all import Learner
from tqdm.auto import tqdm

from malaria_detect.core.json_io import RecordError, from_json, to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.corrections import Corrections
from malaria_detect.data.nlm_cells import Cell, CellFolder, check_cells
from malaria_detect.data.splits import RANDOM_HELD_OUT, Split, folds_of
from malaria_detect.evaluation.cross_validation import HeldOut, Run, write_held_out
from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.training.export import correct
from malaria_detect.training.fit import fit
from malaria_detect.training.settings import TrainingError, TrainSettings, recorded

_FOLD = "fold.json"


@dataclass(frozen=True)
class _Fold:
    """A finished fold as it lies in the folder of the run."""

    run: dict[str, Any]
    start: StartWeights
    history: tuple[Epoch, ...]
    predictions: tuple[tuple[str, float], ...]


def evaluate(
    folder: CellFolder,
    how: str,
    folds: int,
    settings: TrainSettings,
    work: Path,
    output: Path,
    *,
    corrections: Corrections | None = None,
    resume: bool = False,
    progress: bool = True,
) -> tuple[HeldOut, Run]:
    """Cross-validate a recipe, and write every held-out cell's probability.

    The network of a fold trains on the other folds, and its last epoch, or the average of its last ones,
    is taken: its held-out cells are scored after every epoch for whoever watches, but no setting and no epoch is chosen
    by them.

    Parameters
    ----------
    folder : CellFolder
        From :func:`malaria_detect.data.nlm_cells.find_cells`; unreadable cells are left out.
    how, folds : str, int
        As in :func:`malaria_detect.data.splits.folds_of`.
    settings : TrainSettings
        Its ``valid`` and ``test`` are of no use here; pictures are scored at the last of its ``sizes``.
    work : Path
        A folder for each fold is made there: its checkpoint after every epoch, its probabilities when it is done.
    output : Path
        The table to write, ``.csv``; how it was run gets the same name with ``.json``.
    corrections : Corrections, optional
        Networks train on corrected labels, and not on cells of which an expert was unsure.
    resume : bool
        Go on after the last finished epoch of the last finished fold.
    progress : bool
        Show bars, and a line for every epoch.

    Returns
    -------
    held_out : HeldOut
    run : Run

    Raises
    ------
    MalariaDetectError
        Where cells, settings, folds, weights or checkpoints do not serve.
    """
    if output.suffix != ".csv" or not os.access(output.absolute().parent, os.W_OK):
        raise TrainingError(f"{output} must end in .csv, in a folder that can be written to.")
    folder, fingerprint = check_cells(folder)
    cells, labels = folder.cells, [cell.label for cell in folder.cells]
    corrected, fingerprint = correct(cells, corrections, fingerprint)
    # Folds are cut by the published labels, so that runs with and without corrections hold out the same cells.
    splits = folds_of(cells, how, folds, settings.seed)
    share = RANDOM_HELD_OUT if folds == 1 else 1 / folds
    # An author who keeps the best epoch, or stops early, would choose by the very cells that are scored here.
    settings = replace(settings, valid=share, test=0.0, keep="last", patience=0)
    names = [f"{how}-{number}-of-{folds}" for number in range(1, len(splits) + 1)]
    if not resume and (old := sum((work / name / _FOLD).is_file() for name in names)):
        raise TrainingError(
            f"{work} holds {old} finished folds of {folds}: go on with --resume, or name another --work."
        )
    done = []
    for number, (name, split) in enumerate(zip(names, splits, strict=True), start=1):
        run = {"settings": recorded(settings), "cells": f"{fingerprint} {name}"}
        fold = _finished(work / name / _FOLD, run) if resume else None
        if fold is None:
            if progress:
                tqdm.write(f"{how} split, fold {number} of {folds}")
            fold = _run_fold(cells, split, corrected, settings, work / name, run, resume, progress)
        if [file for file, _ in fold.predictions] != [cells[index].path.name for index in split.valid]:
            raise TrainingError(
                f"{work / name} holds a fold that was cut otherwise (by another scikit-learn?): name another --work."
            )
        done.append(fold)
    held_out = HeldOut(
        files=tuple(file for fold in done for file, _ in fold.predictions),
        groups=tuple(cells[index].group for split in splits for index in split.valid),
        folds=tuple(number for number, split in enumerate(splits, start=1) for _ in split.valid),
        labels=tuple(labels[index] for split in splits for index in split.valid),
        probability=tuple(probability for fold in done for _, probability in fold.predictions),
        corrected=tuple(corrected[index] or "" for split in splits for index in split.valid),
    )
    record = Run(
        split=how,
        folds=folds,
        settings=recorded(settings),
        cells=fingerprint,
        start=done[0].start,
        histories=tuple(fold.history for fold in done),
        versions=library_versions(),
        created=today(),
    )
    write_held_out(held_out, output)
    part = output.with_suffix(".part")
    part.write_text(to_json(record), encoding="utf-8")
    part.replace(output.with_suffix(".json"))
    return held_out, record


def _run_fold(
    cells: Sequence[Cell],
    split: Split,
    corrected: Sequence[str | None],
    settings: TrainSettings,
    work: Path,
    run: dict[str, Any],
    resume: bool,
    progress: bool,
) -> _Fold:
    fitted = fit(
        cells,
        split,
        settings,
        work,
        corrected=corrected,
        fingerprint=run["cells"],
        resume=resume,
        progress=progress,
    )
    files = [cells[index].path.name for index in split.valid]
    fold = _Fold(run, fitted.start, fitted.history, tuple(zip(files, _held_out(fitted.learner), strict=True)))
    part = work / f"{_FOLD}.part"
    part.write_text(to_json(fold), encoding="utf-8")
    part.replace(work / _FOLD)
    return fold


def _held_out(learner: Learner) -> list[float]:
    """Probability of parasitized of the held-out cells, at the size of the last epoch, in float32."""
    with learner.no_bar(), learner.no_logging():
        probabilities, _ = learner.get_preds(dl=learner.dls.valid)
    return [round(float(probability), 6) for probability in probabilities[:, 0]]


def _finished(file: Path, run: dict[str, Any]) -> _Fold | None:
    """A fold that was finished earlier, which must be one of this very run."""
    if not file.is_file():
        return None
    try:
        fold = from_json(_Fold, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecordError) as error:
        raise TrainingError(f"{file} is no finished fold ({error}): move it away.") from error
    if fold.run != json.loads(json.dumps(run)):
        raise TrainingError(
            f"{file.parent} holds a fold of a run with other settings, cells or corrections: "
            "resume with the same ones, or name another folder with --work."
        )
    return fold
