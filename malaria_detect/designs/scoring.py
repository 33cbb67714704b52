"""The trained networks of a comparison, with their logits on held-out cells."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.splits import Split, random_split
from malaria_detect.designs.comparison import OURS, PROTOCOL_GROUPED, ComparisonError
from malaria_detect.inference.calibrate import Logits
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import scaled
from malaria_detect.training.checkpoint import CHECKPOINT_FILE
from malaria_detect.training.design import Design
from malaria_detect.training.export import export
from malaria_detect.training.fit import fit
from malaria_detect.training.recalibrate import logits_of
from malaria_detect.training.run import TrainingRun, run_by_patient
from malaria_detect.training.settings import TrainSettings, recorded

# The settings that define the split.
_OF_THE_SPLIT = ("seed", "valid", "test")


@dataclass(frozen=True)
class ScoredNetwork:
    """A trained network: its design, its file, its metadata, and its logits on the cells that it is scored on."""

    design: Design
    model: Path
    metadata: ModelMetadata
    held_out: Logits

    @property
    def probability(self) -> NDArray[np.float64]:
        """Calibrated probability of parasitized of each held-out cell, (N,)."""
        return self.held_out.probability(self.metadata.temperature)

    @property
    def shifted(self) -> NDArray[np.float64]:
        """Probabilities shifted so that the threshold is 0.5: then two networks can be scored together, (N,)."""
        threshold = self.metadata.point().threshold
        logits = np.array(self.held_out.values) / self.metadata.temperature - logit(threshold)
        return scaled(logits, 1.0)


def scoring_run(
    design: Design, settings: TrainSettings, data: LabelledCells, work: Path, protocol: str, progress: bool
) -> TrainingRun:
    """The training run of a design by a protocol; an unfinished one in `work` is continued."""
    folder = work / (design.name if protocol == PROTOCOL_GROUPED else f"{design.name}-{protocol}")
    resume = (folder / CHECKPOINT_FILE).is_file()
    if protocol == PROTOCOL_GROUPED:
        return run_by_patient(design, settings, data, folder, resume=resume, progress=progress)
    how, split = _authors_split(design, data.cells, settings.seed)
    return TrainingRun(design, settings, data, split, folder, resume, progress, how)


def score_network(run: TrainingRun, shipped: Path | None = None) -> ScoredNetwork:
    """Train a network, or take its finished model, which is next to ``run.work``.

    `shipped`, a model of the shipped design, is used instead if it was trained on the same cells and the same split.

    A finished model of another run raises ComparisonError.
    """
    model = run.work.with_name(f"{run.work.name}.pkl")
    if run.design.name == OURS and shipped is not None and same_split(read_metadata(shipped), run):
        model = shipped
    elif model.is_file():
        _check_finished(model, read_metadata(model), run)
    else:
        export(fit(run), run, model)
    metadata = read_metadata(model)
    return ScoredNetwork(run.design, model, metadata, logits_of(model, metadata)[1])


def _authors_split(design: Design, cells: tuple[Cell, ...], seed: int) -> tuple[str, Split]:
    """An author's split; as in the author's training, the held-out cells choose the epoch and are scored."""
    assert design.split is not None
    seed = seed if design.split.seed is None else design.split.seed
    cut = random_split(cells, valid=design.split.held_out, test=0.0, seed=seed)
    held_out = round(100 * design.split.held_out)
    how = (
        f"random {100 - held_out}/{held_out}, seed {seed}, patients on both sides; "
        "the test cells also chose epoch, temperature and thresholds"
    )
    return how, Split(cut.train, cut.valid, cut.valid)


def same_split(metadata: ModelMetadata, run: TrainingRun) -> bool:
    """Whether a model of the shipped design was trained on the cells of a run, with the same split."""
    shares = [metadata.settings.get(name) for name in _OF_THE_SPLIT]
    found = metadata.architecture, metadata.data_fingerprint, metadata.split, metadata.preprocess, shares
    expected = [getattr(run.settings, name) for name in _OF_THE_SPLIT]
    return found == (OURS, run.data.fingerprint, run.how, (), expected)


def _check_finished(model: Path, metadata: ModelMetadata, run: TrainingRun) -> None:
    before = {**metadata.settings, "cells": metadata.data_fingerprint}
    now = {**recorded(run.settings), "cells": run.data.fingerprint}
    # Files of weights are compared by their content.
    names = {**before, **now}
    differing = [name for name in names if name != "weights" and now.get(name) != before.get(name)]
    if metadata.weights.source != "none" and run.design.start(run.settings.weights).start != metadata.weights:
        differing.append("weights")
    if differing:
        raise ComparisonError(
            f"{model} was trained with other settings ({', '.join(differing)}). Delete it, or choose another --work.",
            "other_settings",
        )
