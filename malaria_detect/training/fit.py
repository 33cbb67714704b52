"""Run the recipe: fast on a CPU, checkpointed after every epoch, resumable, with the time that is left.

The cells are decoded and scaled once for each picture size, and the epochs read them from a file mapped into memory;
the network computes in bfloat16 where the processor has it, with channels last.
"""

import json
import pickle
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import Learner, default_device, set_seed
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.data.splits import Split
from malaria_detect.designs.registry import find_network
from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.inference.precision import in_bfloat16
from malaria_detect.training.averaging import Averaging, take_average
from malaria_detect.training.callbacks import (
    ChannelsLast,
    Checkpoint,
    EpochData,
    Finite,
    Patience,
    Progress,
    out_of_patience,
)
from malaria_detect.training.dataloaders import CellLoaders, FeatureLoaders
from malaria_detect.training.design import Design
from malaria_detect.training.features import features_of
from malaria_detect.training.schedule import phases
from malaria_detect.training.settings import TrainingError, TrainSettings, recorded

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class LearningRates:
    """What the learning-rate finder saw: rates tried, the loss at each (as plain lists), and the rate it suggests."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_learning_rate(
    cells: Sequence[Cell], split: Split, settings: TrainSettings, work: Path
) -> LearningRates:
    """Run fastai's learning-rate finder on the whole network at the first size; nothing is kept of what it learns.

    Parameters as in :func:`fit`. The suggestion is fastai's ``valley``.
    """
    work.mkdir(parents=True, exist_ok=True)
    design = _design(settings)
    if design.frozen:
        raise TrainingError(
            f"The finder tries rates of a whole network, and {design.name} learns its head alone."
        )
    set_seed(settings.seed)
    network = design.start(settings.weights).network
    loaders = CellLoaders(cells, split, design, settings, work, progress=False)
    learner = design.wrap(loaders.at(settings.sizes[0]), network, settings)
    learner.add_cb(ChannelsLast())
    learner.path = work  # the finder keeps the untouched weights there while it tries
    with in_bfloat16(learner.model, learner.dls.device), learner.no_bar(), learner.no_logging():
        suggested = learner.lr_find(show_plot=False)
    loaders.discard()
    recorder = learner.recorder
    losses = [float(loss) for loss in recorder.losses]
    return LearningRates([float(rate) for rate in recorder.lrs], losses, float(suggested.valley))


@dataclass(frozen=True)
class Fitted:
    """A finished run: the learner, its epochs, what it started from, and the frozen trunk if it is only a head."""

    learner: Learner
    history: tuple[Epoch, ...]
    start: StartWeights
    trunk: nn.Module | None = None


def fit(
    cells: Sequence[Cell],
    split: Split,
    settings: TrainSettings,
    work: Path,
    *,
    corrected: Sequence[str | None] | None = None,
    fingerprint: str = "",
    resume: bool = False,
    progress: bool = True,
) -> Fitted:
    """Train on the split's training cells, with scores on its validation cells after every epoch.

    Parameters
    ----------
    cells : sequence of Cell
        All readable.
    split : Split
    settings : TrainSettings
    work : Path
        Folder for the checkpoint and, while it runs, for the squares: 19,000 cells take up to 4 GB. Features of frozen
        trunk go to ``features`` beside it, for other heads.
    corrected : sequence of str or None, optional
        Label to learn for each of ``cells``, None for one to learn nothing from; without it the published ones.
        Validation is on published labels.
    fingerprint : str
        Of the cells and of corrections, see :func:`malaria_detect.data.nlm_cells.check_cells`: a run is only gone on
        with on the same ones.
    resume : bool
        Go on from the checkpoint in ``work``; without one it starts from the beginning.
    progress : bool
        Show a bar with the time that is left, and a line for every epoch.

    Raises
    ------
    TrainingError
        Where the checkpoint belongs to another run, a cell has gone, or there is no room in ``work``.
    WeightsError
        Where the starting weights cannot be had.
    """
    if corrected is not None:
        split = replace(split, train=tuple(index for index in split.train if corrected[index]))
        relabelled = {index: replace(cells[index], label=corrected[index] or "") for index in split.train}
        cells = [relabelled.get(index, cell) for index, cell in enumerate(cells)]
    for side in (split.train, split.valid, split.test):
        if side and {cells[index].label for index in side} != set(CLASSES):
            raise TrainingError(
                "A side of the split lacks one of the classes: more cells of more patients are needed."
            )
    try:
        work.mkdir(parents=True, exist_ok=True)
        return _fit(cells, split, settings, work, fingerprint, resume, progress)
    except OSError as error:
        raise TrainingError(
            f"Training stopped: {error}. The squares of the cells and the checkpoint go to {work}: see that the cells "
            "stay where they are and that there is room, or name another folder with --work."
        ) from error


def _fit(
    cells: Sequence[Cell],
    split: Split,
    settings: TrainSettings,
    work: Path,
    fingerprint: str,
    resume: bool,
    progress: bool,
) -> Fitted:
    design = _design(settings)
    run = json.loads(json.dumps({"settings": recorded(settings), "cells": fingerprint}))
    checkpoint = _read_checkpoint(work / _CHECKPOINT, run, resume)
    set_seed(settings.seed)
    # What a checkpoint will replace need not be fetched; a frozen trunk is in none.
    started = design.start(settings.weights if checkpoint is None or design.frozen else "none")
    start = started.start
    if checkpoint is None:
        tqdm.write(started.report)
    else:
        start = StartWeights(
            **{**checkpoint["start"], "identity_blocks": tuple(checkpoint["start"]["identity_blocks"])}
        )
        if design.frozen and start != started.start:
            raise TrainingError(
                f"The checkpoint in {work} was learnt on a trunk from {start}, not from {started.start} with another "
                "SHA-256: resume with the same file, or start anew in another folder."
            )
    network, seconds = started.network, 0.0
    loaders: CellLoaders | FeatureLoaders
    trunk: nn.Module | None = None
    if design.frozen:
        trunk, network = (started.network.get_submodule(place) for place in "01")
        features, seconds = features_of(
            trunk, cells, design, settings.preprocess, work.parent / "features", progress
        )
        loaders = FeatureLoaders(features, cells, split, settings)
    else:
        loaders = CellLoaders(cells, split, design, settings, work, progress)
    sizes = settings.epochs
    done = 0 if checkpoint is None else checkpoint["done"]
    learner = design.wrap(loaders.at(sizes[min(done, len(sizes) - 1)]), network, settings)
    history: list[Epoch] = []
    if checkpoint is not None:
        history = [Epoch(**epoch) for epoch in checkpoint["history"]]
        learner.model.load_state_dict(checkpoint["model"])
    average = AveragedModel(learner.model)
    if checkpoint is not None and "average" in checkpoint:
        average.load_state_dict(checkpoint["average"])
    best = None if checkpoint is None else checkpoint.get("best")
    keep = Checkpoint(work / _CHECKPOINT, run, start, history, settings, average, best, seconds)
    with (
        _bar(sizes, done, len(split.train), progress) as bar,
        # A head alone is quick as it is.
        nullcontext() if design.frozen else in_bfloat16(learner.model, learner.dls.device),
        learner.no_bar(),
        learner.no_logging(),
    ):
        callbacks = [
            ChannelsLast(),
            Finite(),
            keep,
            Progress(bar, keep),
            Patience(history, settings.patience),
        ]
        for phase in phases(settings):
            if done >= phase.first + len(phase.sizes) or out_of_patience(history, settings.patience):
                continue
            first = max(0, done - phase.first)
            # Freezing and unfreezing clear the optimiser's memory, which a checkpoint then gives back.
            resumed = checkpoint is not None and (first > 0 or (phase.goes_on and done == phase.first))
            if phase.frozen:
                learner.freeze()
            elif resumed or not phase.goes_on:
                learner.unfreeze()
            if checkpoint is not None and resumed:
                learner.opt.load_state_dict(checkpoint["optimizer"])
            data = EpochData(loaders, phase.sizes, phase.first, first, settings.seed)
            averaging = [Averaging(average)] if phase.averaged else []
            phase.train(learner, [data, *averaging, *callbacks], first)
        if settings.average_epochs:
            take_average(learner, average, settings.seed)
    if keep.best is not None:
        learner.model.load_state_dict(keep.best)
    loaders.discard()
    return Fitted(learner, tuple(history), start, trunk)


def _design(settings: TrainSettings) -> Design:
    """The network's design, which must fit the pictures' sizes."""
    design = find_network(settings.network)
    if not design.any_size and set(settings.epochs) != {design.input_size}:
        raise TrainingError(
            f"{design.name} is for pictures of {design.input_size} px alone, and sizes are "
            f"{', '.join(map(str, dict.fromkeys(settings.epochs)))}."
        )
    return design


def _bar(sizes: Sequence[int], done: int, cells: int, progress: bool) -> tqdm:
    work = [cells * size * size for size in sizes]
    return tqdm(
        total=sum(work),
        initial=sum(work[:done]),
        desc="training",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} left{postfix}",
        disable=not progress,
    )


def _read_checkpoint(path: Path, run: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """Read the checkpoint to go on from; none where the run starts anew, which must not cost an unfinished one."""
    if not path.is_file():
        if resume:
            tqdm.write(f"nothing to resume in {path.parent}: training starts from the beginning")
        return None
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=default_device(), weights_only=True)
        before, done = checkpoint["run"]["settings"], checkpoint["done"]
        history = [Epoch(**epoch) for epoch in checkpoint["history"]]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no checkpoint of a training run: move it away.") from error
    epochs = before["freeze_epochs"] + len(before["sizes"]) + before.get("average_epochs", 0)
    if not resume:
        if done < epochs and not out_of_patience(history, before.get("patience", 0)):
            raise TrainingError(
                f"{path.parent} holds an unfinished run ({done} of {epochs} epochs): go on with --resume, "
                f"name another folder with --work, or remove {path.name}."
            )
        return None
    if checkpoint["run"] != run:
        now = run["settings"]
        changed = [name for name in now if now[name] != before.get(name)] or ["the cells"]
        raise TrainingError(
            f"The checkpoint in {path.parent} belongs to a run with other settings ({', '.join(changed)}): "
            "resume with the same ones, or start anew in another folder."
        )
    return checkpoint
