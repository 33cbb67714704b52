"""What a training run is made of: labelled cells, a split, a design and its settings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastai.vision.all import Learner
from numpy.typing import NDArray

from malaria_detect.data.corrections import BELIEVED
from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.data.splits import Split, given_split, grouped_split
from malaria_detect.inference.input import RESIZE, InputTransform
from malaria_detect.training.design import Design, class_loss
from malaria_detect.training.settings import TrainingError, TrainSettings, recorded

BY_PATIENT = "grouped by patient"
AS_GIVEN = "by patient, as the CSV file of the cells gives it"


def believing(data: LabelledCells, probabilities: Mapping[str, float]) -> LabelledCells:
    """The cells, to be learnt as the mean of their label and of what cross-validation says.

    Experts doubt about 5 % of the published labels. A network that was not trained on a cell gives a second opinion
    (soft bootstrapping, Reed et al. 2014, arXiv 1412.6596).

    Parameters
    ----------
    data : LabelledCells
    probabilities : dict of str to float
        Probability of parasitized, 0 to 1, by the name of the cell, from networks that were not trained on its patient.

    Raises
    ------
    TrainingError
        If a cell has none; ``reason`` is ``other_cells``.
    """
    if lacking := [cell.name for cell in data.cells if cell.name not in probabilities]:
        raise TrainingError(
            f"{len(lacking)} cells have no cross-validated probability, among them {lacking[0]}. Use the predictions "
            "that `malaria-detect evaluate` wrote for these cells.",
            "other_cells",
        )
    labels = [float(label == CLASSES[0]) for label in data.corrected]
    believed = tuple(
        (label + probabilities[cell.name]) / 2 for label, cell in zip(labels, data.cells, strict=True)
    )
    digest = hashlib.sha256(" ".join(f"{share:.4f}" for share in believed).encode()).hexdigest()
    return replace(data, believed=believed, fingerprint=f"{data.fingerprint}{BELIEVED}{digest[:16]}")


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
    borrowed : tuple of Cell
        Uninfected cells of other laboratories to train on, see :mod:`malaria_detect.training.borrowed`; they need
        random looks.
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
    borrowed: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of :attr:`data`."""
        return self.data.cells

    @property
    def identity(self) -> dict[str, Any]:
        """Settings, cells and split: a checkpoint is only resumed by a run in which all are the same."""
        cells = self.data.fingerprint if self.how == BY_PATIENT else f"{self.data.fingerprint} {self.how}"
        if self.borrowed:
            digest = hashlib.sha256(b"".join(cell.path.read_bytes() for cell in self.borrowed)).hexdigest()
            cells += f" and {len(self.borrowed)} of other laboratories {digest[:16]}"
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

    def shown(self) -> list[Cell]:
        """Training cells with the labels to learn, and borrowed ones."""
        return [*self.learnt()[0], *self.borrowed]

    def targets(self) -> NDArray[np.float32]:
        """What is learnt for each cell of :meth:`shown`: probability of each class, shape (cells, 2)."""
        cells, positions = self.learnt()
        believed = self.data.believed
        shares = (
            [float(cell.label == CLASSES[0]) for cell in cells]
            if believed is None
            else [believed[index] for index in positions]
        )
        parasitized = np.array(shares + [0.0] * len(self.borrowed), dtype=np.float32)
        return np.stack([parasitized, 1 - parasitized], axis=1)

    def weighted(self, learner: Learner) -> Learner:
        """The learner, with a loss that weighs the classes if the settings say so."""
        learner.loss_func = class_loss(self.settings, [cell.label for cell in self.learnt()[0]])
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
        random_looks = self.settings.looks == "random"
        if random_looks and self.design.frozen:
            raise TrainingError(
                f"{self.design.name} has a frozen trunk, whose features are computed once; it needs looks=own.",
                "looks",
            )
        if self.borrowed and not random_looks:
            raise TrainingError(
                "Uninfected cells of other laboratories need looks=random; without it, the network would learn that "
                "their stain means uninfected.",
                "looks",
            )
        if self.settings.start_share and not self.design.has_fastai_head:
            raise TrainingError(
                f"start_share needs a design with fastai's trunk and head; {self.design.name} has none. Leave it out.",
                "start_share",
            )
        self.design.check_sizes(self.settings.epochs)


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
