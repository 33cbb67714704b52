"""From cells to the pair ``export.pkl`` and ``export.json``: split, train, export, score, write."""

import datetime
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from malaria_detect import __version__
from malaria_detect.cells import CLASSES, Cell, CellFolder, Split, check_cells, grouped_split
from malaria_detect.detector import open_learner, parasitized_probabilities, prepared
from malaria_detect.images import read_image
from malaria_detect.metrics import Scores, score
from malaria_detect.passport import (
    RESEARCH_USE,
    SCHEMA_VERSION,
    Passport,
    Side,
    passport_path,
    sha256_of,
    to_json,
)
from malaria_detect.recipe import design_dataloaders, export_learner
from malaria_detect.squares import INPUT_SIZE, MEAN, RESIZE, STD, square
from malaria_detect.training import Fitted, TrainingError, TrainSettings, fit, recorded

# A cell is called parasitized where that is the more probable class. Chosen beforehand, so that no data is spent on it.
THRESHOLD = 0.5
_LIBRARIES = ("torch", "torchvision", "fastai", "pillow", "numpy", "scikit-learn")
_SCORE_BATCH = 64


def train(
    folder: CellFolder,
    settings: TrainSettings,
    work: Path,
    output: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Passport:
    """Train on a folder of cells and write the model and its passport.

    Parameters
    ----------
    folder : CellFolder
        From :func:`malaria_detect.cells.find_cells`; unreadable cells are left out.
    settings : TrainSettings
    work : Path
        Folder for the checkpoint and other files of the run.
    output : Path
        The exported learner, usually ``export.pkl``; the passport is written beside it.
    resume : bool
        Go on from the checkpoint in ``work``.
    progress : bool
        Show bars with the time that is left.

    Returns
    -------
    Passport

    Raises
    ------
    MalariaDetectError
        Where the cells, the settings, the weights or the checkpoint do not serve; the old model stays then.
    """
    check_output(output)
    folder, fingerprint = check_cells(folder)
    split = grouped_split(folder.cells, settings.valid, settings.test, settings.seed)
    fitted = fit(
        folder.cells, split, settings, work, fingerprint=fingerprint, resume=resume, progress=progress
    )
    return export(fitted, folder.cells, split, settings, fingerprint, output, progress=progress)


def check_output(output: Path) -> None:
    """Refuse a place that a model cannot be written to, before hours of training are spent.

    Raises
    ------
    TrainingError
        Where the folder is missing or read-only, or the name does not end in ``.pkl``.
    """
    if output.suffix != ".pkl":
        raise TrainingError(f"{output} must end in .pkl; its passport gets the same name with .json.")
    if not os.access(output.parent, os.W_OK):
        raise TrainingError(f"{output.parent} is no folder that can be written to: name another --output.")


def export(
    fitted: Fitted,
    cells: Sequence[Cell],
    split: Split,
    settings: TrainSettings,
    fingerprint: str,
    output: Path,
    *,
    progress: bool = True,
) -> Passport:
    """Write a trained learner and its passport; parameters as in :func:`train`.

    What is scored is the file itself, opened again, with its weights rounded to float16. Both files are written
    under other names first and moved when both are complete.
    """
    check_output(output)
    part, passport_part = (path.with_name(f"{path.name}.part") for path in (output, passport_path(output)))
    try:
        learner = fitted.learner
        learner.dls = design_dataloaders([_first(cells, label).path for label in CLASSES])
        export_learner(learner, part)
        passport = _passport(fitted, cells, split, settings, fingerprint, part, output.name, progress)
        passport_part.write_text(to_json(passport), encoding="utf-8")
        part.replace(output)
        passport_part.replace(passport_path(output))
    finally:
        for unfinished in (part, passport_part):
            unfinished.unlink(missing_ok=True)
    return passport


def _passport(
    fitted: Fitted,
    cells: Sequence[Cell],
    split: Split,
    settings: TrainSettings,
    fingerprint: str,
    part: Path,
    name: str,
    progress: bool,
) -> Passport:
    network = prepared(open_learner(part.read_bytes()).model)
    return Passport(
        schema_version=SCHEMA_VERSION,
        file_name=name,
        sha256=sha256_of(part),
        size_bytes=part.stat().st_size,
        architecture="resnet34",
        classes=CLASSES,
        resize=RESIZE,
        input_size=INPUT_SIZE,
        mean=MEAN,
        std=STD,
        weights=fitted.start,
        data_fingerprint=fingerprint,
        split="grouped by patient",
        seed=settings.seed,
        train=_side(cells, split.train),
        valid=_side(cells, split.valid),
        test=_side(cells, split.test),
        versions={
            "malaria_detect": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        settings=recorded(settings),
        history=fitted.history,
        validation_scores=_score(network, [cells[index] for index in split.valid], "validation", progress),
        test_scores=_score(network, [cells[index] for index in split.test], "test", progress),
        threshold=THRESHOLD,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        licence="Apache-2.0",
        intended_use=f"{RESEARCH_USE} Single red blood cells cut out of Giemsa-stained thin smears, P. falciparum.",
    )


def _first(cells: Sequence[Cell], label: str) -> Cell:
    return next(cell for cell in cells if cell.label == label)


def _side(cells: Sequence[Cell], positions: Sequence[int]) -> Side:
    chosen = [cells[index] for index in positions]
    parasitized = sum(cell.label == CLASSES[0] for cell in chosen)
    groups = tuple(sorted({cell.group for cell in chosen}))
    return Side(len(chosen), parasitized, len(chosen) - parasitized, groups)


def _score(network: nn.Module, cells: Sequence[Cell], name: str, progress: bool) -> Scores:
    probabilities: list[float] = []
    with tqdm(total=len(cells), desc=f"scoring {name} patients", unit="cell", disable=not progress) as bar:
        for begin in range(0, len(cells), _SCORE_BATCH):
            batch = cells[begin : begin + _SCORE_BATCH]
            probabilities += parasitized_probabilities(
                network, [square(read_image(cell.path), RESIZE) for cell in batch]
            )
            bar.update(len(batch))
    labels = np.array([cell.label == CLASSES[0] for cell in cells])
    return score(labels, np.array(probabilities), [cell.group for cell in cells], threshold=THRESHOLD)
