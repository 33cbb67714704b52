"""The checkpoint of a training run: written after every epoch, read to resume."""

import math
import pickle
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from fastai.vision.all import Callback, default_device
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from malaria_detect.core.atomic import replaced
from malaria_detect.inference.metadata import EPOCH_SCORES, Epoch, StartWeights
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.settings import TrainingError, TrainSettings

CHECKPOINT_FILE = "checkpoint.pt"


class Checkpoint(Callback):
    """Record the scores of every epoch and write everything that is needed to resume.

    fastai's ``SaveModelCallback`` does not write epochs, averages or best weights, and so cannot resume exactly.
    `state` is the checkpoint to resume from; `seconds`, spent before the first epoch, count as part of it.
    ``best`` has the weights of the best epoch so far, if the settings keep it.
    """

    order = 60

    def __init__(
        self,
        run: TrainingRun,
        start: StartWeights,
        average: AveragedModel,
        state: dict[str, Any] | None,
        seconds: float,
    ) -> None:
        # fastai's Callback uses the name `run` itself.
        self.of, self.start, self.average, self.seconds = run, start, average, seconds
        self.settings: TrainSettings = run.settings
        self.history: list[Epoch] = _history(state) if state else []
        self.best: dict[str, torch.Tensor] | None = state.get("best") if state else None
        self.began = 0.0

    @property
    def size(self) -> int:
        """Image size in px of the current epoch."""
        return self.settings.epochs[len(self.history)]

    def before_train(self) -> None:
        """Start the clock of the epoch."""
        self.began = time.monotonic() - (0.0 if self.history else self.seconds)

    def after_validate(self) -> None:
        """Record the scores, write the checkpoint, print a line."""
        # fastai's Recorder has already noted losses and metrics, in the order of EPOCH_SCORES.
        noted = zip(EPOCH_SCORES, self.learn.recorder.log[1:], strict=True)
        scores = {name: float(value) for name, value in noted}
        seconds = round(time.monotonic() - self.began, 1)
        epoch = Epoch(len(self.history) + 1, self.size, **scores, seconds=seconds)
        self.history.append(epoch)
        if self.settings.keep == "best" and best_epoch(self.history) == epoch.epoch:
            self.best = {name: tensor.clone() for name, tensor in self.learn.model.state_dict().items()}
        # Given a path, torch raises a RuntimeError if the disk is full.
        with replaced(self.of.work / CHECKPOINT_FILE) as new, new.open("wb") as file:
            torch.save(self._state(), file)
        tqdm.write(
            f"epoch {epoch.epoch}/{len(self.settings.epochs)} at {epoch.size} px: loss {epoch.train_loss:.4f}, "
            f"validation {epoch.valid_loss:.4f}, accuracy {epoch.accuracy:.4f}, ROC AUC {epoch.roc_auc:.4f}, "
            f"{epoch.seconds:.0f} s"
        )

    def _state(self) -> dict[str, Any]:
        optimizer = self.learn.opt.state_dict()
        hypers = [{name: float(value) for name, value in group.items()} for group in optimizer["hypers"]]
        state = {
            "run": self.of.identity,
            "done": len(self.history),
            "history": [asdict(epoch) for epoch in self.history],
            "start": asdict(self.start),
            "model": self.learn.model.state_dict(),
            "optimizer": {"state": list(optimizer["state"]), "hypers": hypers},
        }
        if self.average.n_averaged > 0:
            state["average"] = self.average.state_dict()
        if self.best is not None:
            state["best"], state["best_epoch"] = self.best, best_epoch(self.history)
        return state


def read_checkpoint(run: TrainingRun) -> dict[str, Any] | None:
    """The checkpoint to resume from; None if the run starts from the beginning.

    Raises TrainingError if the file is not a checkpoint, is from another run, or would overwrite an unfinished run.
    """
    path = run.work / CHECKPOINT_FILE
    if not path.is_file():
        if run.resume:
            tqdm.write(f"No checkpoint in {run.work}: training starts from the beginning.")
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=default_device(), weights_only=True)
        before, history = state["run"]["settings"], _history(state)
        epochs = before["freeze_epochs"] + len(before["sizes"]) + before.get("average_epochs", 0)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a checkpoint. Move it away.", "no_checkpoint") from error
    if not run.resume:
        if len(history) < epochs and not out_of_patience(history, before.get("patience", 0)):
            raise TrainingError(
                f"{run.work} contains an unfinished run ({len(history)} of {epochs} epochs). Continue it with "
                f"--resume, choose another folder with --work, or delete {path.name}.",
                "unfinished",
            )
        return None
    if state["run"] != run.identity:
        now = run.identity["settings"]
        names = {**before, **now}
        changed = [name for name in names if now.get(name) != before.get(name)] or ["the cells"]
        raise TrainingError(
            f"The checkpoint in {run.work} is of a run with other settings ({', '.join(changed)}). "
            "Use the same settings, or choose another folder with --work.",
            "other_run",
        )
    # Older versions kept the epoch with the highest accuracy.
    if "best" in state and state.get("best_epoch") != best_epoch(history):
        raise TrainingError(
            f"The checkpoint in {run.work} is of an older version, which chose the best epoch in another way. Choose "
            f"another folder with --work, or delete {path.name}.",
            "older_checkpoint",
        )
    return state


def recorded_start(state: dict[str, Any]) -> StartWeights:
    """What the run of a checkpoint started from."""
    return StartWeights(**{**state["start"], "identity_blocks": tuple(state["start"]["identity_blocks"])})


def _history(state: dict[str, Any]) -> list[Epoch]:
    return [Epoch(**epoch) for epoch in state["history"]]


def out_of_patience(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the last `patience` epochs brought no lower validation loss than the epochs before; 0 means never."""
    losses = [epoch.valid_loss for epoch in history]
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def best_epoch(history: Sequence[Epoch]) -> int:
    """Number of the epoch with the highest ROC AUC on validation cells, then the lowest loss, then the latest.

    An epoch whose ROC AUC or loss is NaN is only taken if there is no other.
    """

    def goodness(epoch: Epoch) -> tuple[float, float, int]:
        scores = (epoch.roc_auc, -epoch.valid_loss)
        auc, loss = (-math.inf if math.isnan(score) else score for score in scores)
        return auc, loss, epoch.epoch

    return max(history, key=goodness).epoch
