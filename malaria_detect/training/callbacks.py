"""fastai callbacks of the training run: sizes, number format, progress, checkpoints."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import Callback, CancelFitException, set_seed
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from malaria_detect.inference.metadata import EPOCH_SCORES, Epoch, StartWeights
from malaria_detect.training.dataloaders import CellLoaders, FeatureLoaders
from malaria_detect.training.settings import DivergedError, TrainSettings


class EpochData(Callback):
    """Give every epoch its size and its own random numbers, so that a resumed run goes on as it would have."""

    order = -20

    def __init__(
        self, loaders: CellLoaders | FeatureLoaders, sizes: Sequence[int], offset: int, first: int, seed: int
    ) -> None:
        self.loaders, self.sizes, self.offset, self.first, self.seed = loaders, sizes, offset, first, seed

    def before_epoch(self) -> None:
        """Seed, and hand the learner this epoch's DataLoaders."""
        if self.epoch >= self.first:
            set_seed(self.seed + 1 + self.offset + self.epoch)
            self.learn.dls = self.loaders.at(self.sizes[self.epoch])
            self.learn.recorder.smooth_loss.reset()


class ChannelsLast(Callback):
    """Keep pictures and weights channels last; plain tensors spare fastai's subclass in every layer."""

    order = -1

    def before_fit(self) -> None:
        """Reorder the weights."""
        self.learn.model.to(memory_format=torch.channels_last)

    def before_batch(self) -> None:
        """Reorder the pictures; features have no such order."""
        inputs = self.xb[0].as_subclass(torch.Tensor)
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.learn.xb = (inputs,)


class Progress(Callback):
    """Move the bar by the pixels that were trained on: epochs at larger sizes take longer."""

    order = 55  # after the Recorder

    def __init__(self, bar: tqdm, keep: "Checkpoint") -> None:
        self.bar, self.keep = bar, keep

    def after_batch(self) -> None:
        """Count this batch's pixels."""
        if self.training:
            self.bar.update(len(self.xb[0]) * self.keep.size**2)
            self.bar.set_postfix(loss=f"{float(self.smooth_loss):.3f}", refresh=False)


class Checkpoint(Callback):
    """Note every epoch's scores and write all that is needed to go on; the old file is replaced at once.

    Parameters
    ----------
    path : Path
    run : dict
        What tells this run from others.
    start : StartWeights
    history : list of Epoch
        Those that are done; it grows.
    settings : TrainSettings
    average : torch.optim.swa_utils.AveragedModel
    best : dict or None
        Weights of the epoch with the best accuracy on validation cells so far, where the settings keep it.
    seconds : float
        What was spent before the first epoch and counts as part of it.
    """

    order = 60

    def __init__(
        self,
        path: Path,
        run: dict[str, Any],
        start: StartWeights,
        history: list[Epoch],
        settings: TrainSettings,
        average: AveragedModel,
        best: dict[str, torch.Tensor] | None,
        seconds: float,
    ) -> None:
        self.path, self.run_id, self.start, self.history, self.settings = path, run, start, history, settings
        self.average, self.best, self.seconds = average, best, seconds
        self.began = 0.0

    @property
    def size(self) -> int:
        """Side in px of the epoch that runs."""
        return self.settings.epochs[len(self.history)]

    def before_train(self) -> None:
        """Start the epoch's clock."""
        self.began = time.monotonic() - (0.0 if self.history else self.seconds)

    def after_validate(self) -> None:
        """Note the scores, write the checkpoint, print a line."""
        # The Recorder came first; it has the learner's losses and metrics in this order.
        noted = zip(EPOCH_SCORES, self.learn.recorder.log[1:], strict=True)
        number = len(self.history)
        seconds = round(time.monotonic() - self.began, 1)
        losses_and_metrics = {name: float(value) for name, value in noted}
        self.history.append(Epoch(number + 1, self.size, **losses_and_metrics, seconds=seconds))
        if self.settings.keep == "best" and best_epoch(self.history) == number + 1:
            self.best = {name: tensor.clone() for name, tensor in self.learn.model.state_dict().items()}
        optimizer = self.learn.opt.state_dict()
        state = {
            "run": self.run_id,
            "done": number + 1,
            "history": [asdict(epoch) for epoch in self.history],
            "start": asdict(self.start),
            "model": self.learn.model.state_dict(),
            "optimizer": {
                "state": list(optimizer["state"]),
                "hypers": [
                    {name: float(value) for name, value in hypers.items()} for hypers in optimizer["hypers"]
                ],
            },
        }
        if self.average.n_averaged > 0:
            state["average"] = self.average.state_dict()
        if self.best is not None:
            state["best"] = self.best
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)
        tqdm.write(_epoch_line(self.history[-1], len(self.settings.epochs)))


class Finite(Callback):
    """Stop where the network answers with no numbers, before a metric stumbles over them."""

    def after_pred(self) -> None:
        """Look at what validation cells get."""
        if not self.training and not torch.isfinite(self.pred).all():
            raise DivergedError(
                "The network answers with no numbers: training went astray, try a lower --lr."
            )


class Patience(Callback):
    """Stop where the validation loss has not fallen for some epochs."""

    order = 61  # after the checkpoint

    def __init__(self, history: Sequence[Epoch], patience: int) -> None:
        self.history, self.patience = history, patience

    def after_epoch(self) -> None:
        """Look back."""
        if out_of_patience(self.history, self.patience):
            raise CancelFitException


def out_of_patience(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the last ``patience`` epochs brought no lower validation loss than one before them; 0 is endless."""
    losses = [epoch.valid_loss for epoch in history]
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def best_epoch(history: Sequence[Epoch]) -> int:
    """Number of the epoch with the best accuracy on validation cells, the first of equals."""
    return max(history, key=lambda epoch: epoch.accuracy).epoch


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs} at {epoch.size} px: "
        f"loss {epoch.train_loss:.4f}, validation {epoch.valid_loss:.4f}, "
        f"accuracy {epoch.accuracy:.4f}, ROC AUC {epoch.roc_auc:.4f}, {epoch.seconds:.0f} s"
    )
