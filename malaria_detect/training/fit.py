"""Training: fast on a CPU, with a checkpoint after every epoch.

Cells are decoded and scaled once for each image size. The network computes in bfloat16 if the processor supports it;
fastai's own ``MixedPrecision`` supports only CUDA.
"""

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from fastai.vision.all import ChannelsLast, Learner, TerminateOnNaNCallback, set_seed
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.training.allocator import keep_freed_memory
from malaria_detect.training.callbacks import (
    Averaging,
    EpochData,
    Patience,
    PlainTensors,
    Progress,
    ReturnGaps,
    take_weights,
)
from malaria_detect.training.checkpoint import Checkpoint, out_of_patience, read_checkpoint, recorded_start
from malaria_detect.training.dataloaders import CellLoaders, FeatureLoaders
from malaria_detect.training.design import Started
from malaria_detect.training.features import features_of
from malaria_detect.training.precision import in_bfloat16
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.schedule import Phase, phases
from malaria_detect.training.settings import DivergedError, TrainingError

# Tensors of the last layer, which fastai's head replaces.
_LAST_LAYER = 2


@dataclass(frozen=True)
class LearningRates:
    """Result of the learning-rate finder: the rates, the loss at each, and the suggested rate."""

    rates: list[float]
    losses: list[float]
    suggestion: float


@dataclass(frozen=True)
class Fitted:
    """A finished training run; of a design with a frozen trunk, the learner has the trained head only."""

    learner: Learner
    history: tuple[Epoch, ...]
    start: StartWeights
    trunk: nn.Module | None = None

    @property
    def network(self) -> nn.Module:
        """The whole network, from images to two logits; it shares its weights with :attr:`learner`."""
        model: nn.Module = self.learner.model
        return model if self.trunk is None else nn.Sequential(self.trunk, model)


def find_learning_rate(run: TrainingRun) -> LearningRates:
    """Run fastai's learning-rate finder (``valley``) on the whole network at the first size; nothing is kept.

    A frozen trunk raises TrainingError: the finder needs a network that is trained as a whole.
    """
    run.work.mkdir(parents=True, exist_ok=True)
    if run.design.frozen:
        raise TrainingError(
            f"The finder needs a network that is trained as a whole; {run.design.name} has a frozen trunk.",
            "frozen",
        )
    run.check()
    keep_freed_memory()
    set_seed(run.settings.seed)
    network = run.design.start(run.settings.weights).network
    loaders = CellLoaders(run)
    learner = run.weighted(run.design.wrap(loaders.at(run.settings.sizes[0]), network, run.settings))
    learner.add_cbs([ChannelsLast(), PlainTensors()])
    learner.path = run.work  # fastai stores the untouched weights there
    with in_bfloat16(learner.model, learner.dls.device), learner.no_bar(), learner.no_logging():
        suggested = learner.lr_find(show_plot=False)
    loaders.discard()
    recorder = learner.recorder
    losses = [float(loss) for loss in recorder.losses]
    return LearningRates([float(rate) for rate in recorder.lrs], losses, float(suggested.valley))


def fit(run: TrainingRun) -> Fitted:
    """Train a network, with scores on validation cells after every epoch.

    Validation uses published labels, training the corrected ones. With glibc the process keeps freed memory from then
    on, see :func:`malaria_detect.training.allocator.keep_freed_memory`.

    Raises
    ------
    TrainingError
        If the checkpoint is of another run, a cell is missing, or `run.work` cannot be written; DivergedError if the
        network returns NaN.
    WeightsError
        If the weights to start from are not available.
    """
    run.check()
    keep_freed_memory()
    try:
        run.work.mkdir(parents=True, exist_ok=True)
        return _fit(run)
    except OSError as error:
        problem = f"{error.strerror}: {error.filename}" if error.filename else error.strerror or error
        raise TrainingError(
            f"Training stopped ({problem}). Check that the cells are still there and that {run.work} has space, or "
            "choose another folder with --work.",
            "files",
        ) from error


def _fit(run: TrainingRun) -> Fitted:
    state = read_checkpoint(run)
    set_seed(run.settings.seed)
    started = _start(run, state)
    _check_start(run, started.start)
    network, trunk, seconds = started.network, None, 0.0
    loaders: CellLoaders | FeatureLoaders
    if run.design.frozen:
        trunk, network = (network.get_submodule(place) for place in "01")
        features, seconds = features_of(trunk, run)
        loaders = FeatureLoaders(features, run)
    else:
        loaders = CellLoaders(run)
    sizes, done = run.settings.epochs, state["done"] if state else 0
    size = sizes[min(done, len(sizes) - 1)]
    learner = run.weighted(run.design.wrap(loaders.at(size), network, run.settings))
    learner.model.to(learner.dls.device)
    before = copy.deepcopy(learner.model.state_dict()) if run.settings.start_share else {}
    average = AveragedModel(learner.model)
    if state is not None:
        learner.model.load_state_dict(state["model"])
        if "average" in state:
            average.load_state_dict(state["average"])
    checkpoint = Checkpoint(run, started.start, average, state, seconds)
    _train(run, learner, loaders, checkpoint, state)
    if run.settings.average_epochs or run.settings.start_share:
        learnt = average.module.state_dict() if run.settings.average_epochs else learner.model.state_dict()
        with _number_format(run, learner), learner.no_bar(), learner.no_logging():
            take_weights(learner, _mixed(learnt, before, run.settings.start_share), run.settings.seed)
    loaders.discard()
    return Fitted(learner, tuple(checkpoint.history), started.start, trunk)


def _start(run: TrainingRun, state: dict[str, Any] | None) -> Started:
    """The network before training; weights that a checkpoint replaces are not downloaded."""
    if state is None:
        started = run.design.start(run.settings.weights)
        tqdm.write(started.report)
        return started
    needed = run.design.frozen or run.settings.start_share
    started = run.design.start(run.settings.weights if needed else "none")
    start = recorded_start(state)
    if needed and start != started.start:
        raise TrainingError(
            f"The checkpoint in {run.work} was trained on a trunk from {start}; this trunk is from {started.start} and "
            "has another SHA-256. Use the same file, or choose another folder with --work.",
            "other_trunk",
        )
    return Started(started.network, start, started.report)


def _check_start(run: TrainingRun, start: StartWeights) -> None:
    """Raise TrainingError if a share of the starting trunk was asked for, and some of it started at random."""
    if run.settings.start_share and (start.source == "none" or start.missing > _LAST_LAYER):
        raise TrainingError(
            f"start_share would mix random weights into the trunk: it starts from {start}. Leave it out, or use "
            "--weights with a file of the whole trunk.",
            "start_share",
        )


def _train(
    run: TrainingRun,
    learner: Learner,
    loaders: CellLoaders | FeatureLoaders,
    checkpoint: Checkpoint,
    state: dict[str, Any] | None,
) -> None:
    settings, history = run.settings, checkpoint.history
    done = len(history)
    with (
        _bar(run, done) as bar,
        _number_format(run, learner),
        learner.no_bar(),
        learner.no_logging(),
    ):
        callbacks = [
            *(ChannelsLast(), PlainTensors(), ReturnGaps(), TerminateOnNaNCallback(), checkpoint),
            *(Progress(bar, checkpoint), Patience(history, settings.patience)),
        ]
        for phase in phases(settings):
            if done >= phase.end or out_of_patience(history, settings.patience):
                continue
            first = max(0, done - phase.first)
            _freeze(learner, phase, state if phase.continues(done) else None)
            data = EpochData(loaders, settings, phase.first, first)
            averaging = [Averaging(checkpoint.average)] if phase.averaged else []
            phase.train(learner, [data, *averaging, *callbacks], first)
            if len(history) < phase.end and not out_of_patience(history, settings.patience):
                raise DivergedError
    if checkpoint.best is not None:
        learner.model.load_state_dict(checkpoint.best)


def _mixed(
    learnt: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor], share: float
) -> Mapping[str, torch.Tensor]:
    """Weights with a share of the trunk's weights before training; fastai's trunk is the first module."""
    mixed = {
        name: torch.lerp(learnt[name], tensor, share)
        for name, tensor in before.items()
        if name.startswith("0.") and tensor.is_floating_point()
    }
    return {**learnt, **mixed}


def _number_format(run: TrainingRun, learner: Learner) -> AbstractContextManager[None]:
    """Bfloat16 for a whole network; a head alone is fast in float32."""
    return nullcontext() if run.design.frozen else in_bfloat16(learner.model, learner.dls.device)


def _freeze(learner: Learner, phase: Phase, state: dict[str, Any] | None) -> None:
    """Freeze or unfreeze the trunk; that clears the optimiser's state, which a checkpoint restores."""
    if phase.frozen:
        learner.freeze()
    elif state is not None or not phase.averaged:
        learner.unfreeze()
    if state is not None:
        learner.opt.load_state_dict(state["optimizer"])


def _bar(run: TrainingRun, done: int) -> tqdm:
    cells = len(run.shown())
    pixels = [cells * size * size for size in run.settings.epochs]
    return tqdm(
        total=sum(pixels),
        initial=sum(pixels[:done]),
        desc="training",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left{postfix}",
        disable=not run.progress,
    )
