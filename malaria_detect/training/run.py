"""What a training run is made of: labelled cells, a split, a design and its settings."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastai.vision.all import Learner

from malaria_detect.data.cell_check import check_cells
from malaria_detect.data.corrections import Corrections, corrected_labels
from malaria_detect.data.nlm_cells import CLASSES, Cell, CellFolder
from malaria_detect.data.splits import Split, given_split, grouped_split
from malaria_detect.inference.input import RESIZE, InputTransform
from malaria_detect.inference.metadata import CORRECTED
from malaria_detect.training.design import Design, balanced_loss
from malaria_detect.training.settings import TrainingError, TrainSettings, recorded

BY_PATIENT = "grouped by patient"
AS_GIVEN = "by patient, as the CSV file of the cells gives it"


@dataclass(frozen=True)
class LabelledCells:
    """Readable cells and the labels to learn.

    Attributes
    ----------
    corrected : tuple of str or None
        Label to learn for each cell; None if an expert was unsure, so that the cell is not trained on.
    fingerprint : str
        Identifies the cells and the corrections, see :func:`malaria_detect.data.cell_check.check_cells`.
    ignored, identical, colourless : tuple of str
        Sentences about files that were left out, about identical images, and about images without colour.
    """

    cells: tuple[Cell, ...]
    corrected: tuple[str | None, ...]
    fingerprint: str
    ignored: tuple[str, ...] = ()
    identical: tuple[str, ...] = ()
    colourless: tuple[str, ...] = ()


def labelled_cells(folder: CellFolder, corrections: Corrections | None = None) -> LabelledCells:
    """Readable cells of a folder with their corrected labels; without corrections, with the published ones.

    Errors are those of :func:`malaria_detect.data.cell_check.check_cells` and
    :func:`malaria_detect.data.corrections.corrected_labels`.
    """
    folder, fingerprint = check_cells(folder)
    labels: tuple[str | None, ...] = tuple(cell.label for cell in folder.cells)
    if corrections is not None:
        names = [cell.name for cell in folder.cells]
        labels = corrected_labels(names, [cell.label for cell in folder.cells], corrections)
        digest = hashlib.sha256("\n".join(label or "" for label in labels).encode()).hexdigest()
        fingerprint = f"{fingerprint}{CORRECTED}{digest[:16]}"
    sentences = folder.ignored, folder.identical, folder.colourless
    return LabelledCells(folder.cells, labels, fingerprint, *sentences)


@dataclass(frozen=True)
class TrainingRun:
    """A training run, as :func:`malaria_detect.training.fit.fit` carries it out.

    Attributes
    ----------
    split : Split
        Positions in ``data.cells``.
    work : Path
        Folder for the checkpoint and, during training, for the image cache: 19,000 cells take up to 5 GB. Features of
        frozen trunks are stored in ``features`` in the parent folder, so that other runs can use them.
    resume : bool
        Continue from the checkpoint in `work`; without a checkpoint, start from the beginning.
    how : str
        How the cells were split, in words, for the metadata.
    """

    design: Design
    settings: TrainSettings
    data: LabelledCells
    split: Split
    work: Path
    resume: bool = False
    progress: bool = True
    how: str = BY_PATIENT

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of :attr:`data`."""
        return self.data.cells

    @property
    def identity(self) -> dict[str, Any]:
        """Settings, cells and split: a checkpoint is only resumed by a run in which all are the same."""
        cells = self.data.fingerprint if self.how == BY_PATIENT else f"{self.data.fingerprint} {self.how}"
        return {"settings": recorded(self.settings), "cells": cells}

    def input_transform(self, size: int | None = None) -> InputTransform:
        """What prepares images for the network at validation: at `size` px, or at the design's own size."""
        design = self.design
        return InputTransform(
            RESIZE, size or design.input_size, design.mean, design.std, self.settings.preprocess
        )

    def learnt(self) -> tuple[list[Cell], tuple[int, ...]]:
        """Training cells with the labels to learn, and their positions; cells with the verdict unsure are left out."""
        positions = tuple(index for index in self.split.train if self.data.corrected[index])
        cells = [replace(self.cells[i], label=self.data.corrected[i] or "") for i in positions]
        return cells, positions

    def weighted(self, learner: Learner) -> Learner:
        """The learner, with a loss that weighs the classes if the settings say so."""
        if self.settings.class_weights == "balanced":
            learner.loss_func = balanced_loss(self.settings, [cell.label for cell in self.learnt()[0]])
            learner.loss_func.to(learner.dls.device)
        return learner

    def held_out(self) -> list[Cell]:
        """Validation cells with their published labels."""
        return [self.cells[index] for index in self.split.valid]

    def check(self) -> None:
        """Raise TrainingError if a part of the split lacks a class, or the design does not allow the image sizes."""
        test = [self.cells[index] for index in self.split.test]
        parts = {
            "training": self.learnt()[0],
            "validation": self.held_out(),
            **({"test": test} if test else {}),
        }
        for name, part in parts.items():
            for label in CLASSES:
                if label not in {cell.label for cell in part}:
                    patients = len({cell.group for cell in part})
                    raise TrainingError(
                        f"The {patients} {name} patients have no cells of the class {label}. Use cells of more "
                        "patients, another --seed, or a split of your own.",
                        "class_missing",
                    )
        design, sizes = self.design, dict.fromkeys(self.settings.epochs)
        if not design.any_size and set(sizes) != {design.input_size}:
            raise TrainingError(
                f"{design.name} needs images of {design.input_size} px; the sizes given are "
                f"{', '.join(map(str, sizes))}.",
                "wrong_size",
            )


def run_by_patient(
    design: Design, settings: TrainSettings, data: LabelledCells, work: Path, **options: Any
) -> TrainingRun:
    """A run whose training, validation and test cells are of different patients; options as in `TrainingRun`.

    A split that the CSV file of the cells gives is used instead of the shares of the settings.
    """
    given = given_split(data.cells)
    split = given or grouped_split(data.cells, settings.valid, settings.test, settings.seed)
    how = AS_GIVEN if given else BY_PATIENT
    return TrainingRun(design, settings, data, split, work, how=how, **options)
