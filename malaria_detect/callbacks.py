"""fastai callbacks of the training run: sizes, number format, progress, checkpoints."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import Callback, set_seed
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from malaria_detect.loaders import CellLoaders
from malaria_detect.passport import EPOCH_SCORES, Epoch, StartWeights


class EpochData(Callback):
    """Give every epoch its size and its own random numbers, so that a resumed run goes on as it would have."""

    order = -20

    def __init__(
        self, loaders: CellLoaders, sizes: Sequence[int], offset: int, first: int, seed: int
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
        """Reorder the pictures."""
        pictures = self.xb[0].as_subclass(torch.Tensor)
        self.learn.xb = (pictures.contiguous(memory_format=torch.channels_last),)


@contextmanager
def in_bfloat16(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a network compute in bfloat16 inside the block, where the device is fast in it; its answers are float32.

    fastai's own MixedPrecision knows CUDA alone, and a callback would leave autocast on after Ctrl-C.
    """
    if not _has_bfloat16(device):
        yield
        return
    plain = network.forward

    def forward(pictures: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            answers: torch.Tensor = plain(pictures)
        return answers.float()

    network.forward = forward
    try:
        yield
    finally:
        del network.forward  # the class's own is there again


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Other processors emulate it, which is slower than float32.
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class Progress(Callback):
    """Move the bar by the pixels that were trained on: epochs at larger sizes take longer."""

    order = 55  # after the Recorder

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def after_batch(self) -> None:
        """Count this batch's pixels."""
        if self.training:
            self.bar.update(self.xb[0].shape[0] * self.xb[0].shape[2] * self.xb[0].shape[3])
            self.bar.set_postfix(loss=f"{float(self.smooth_loss):.3f}", refresh=False)


class Checkpoint(Callback):
    """Note every epoch's scores and write all that is needed to go on; the old file is replaced at once."""

    order = 60

    def __init__(
        self,
        path: Path,
        run: dict[str, Any],
        start: StartWeights,
        history: list[Epoch],
        sizes: Sequence[int],
        average: AveragedModel,
    ) -> None:
        self.path, self.run_id, self.start, self.history, self.sizes = path, run, start, history, sizes
        self.average = average
        self.began = 0.0

    def before_train(self) -> None:
        """Start the epoch's clock."""
        self.began = time.monotonic()

    def after_validate(self) -> None:
        """Note the scores, write the checkpoint, print a line."""
        # The Recorder came first; it has the learner's losses and metrics in this order.
        noted = zip(EPOCH_SCORES, self.learn.recorder.log[1:], strict=True)
        number = len(self.history)
        seconds = round(time.monotonic() - self.began, 1)
        losses_and_metrics = {name: float(value) for name, value in noted}
        self.history.append(Epoch(number + 1, self.sizes[number], **losses_and_metrics, seconds=seconds))
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
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)
        tqdm.write(_epoch_line(self.history[-1], len(self.sizes)))


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs} at {epoch.size} px: "
        f"loss {epoch.train_loss:.4f}, validation {epoch.valid_loss:.4f}, "
        f"accuracy {epoch.accuracy:.4f}, ROC AUC {epoch.roc_auc:.4f}, {epoch.seconds:.0f} s"
    )
