"""Training of the cell finder on synthetic fields, which are drawn while it trains."""

import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from malaria_detect.core.atomic import replaced
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.splits import grouped_split
from malaria_detect.fields.cut_outs import CutOut, cut_outs_of
from malaria_detect.fields.maps import DIAMETER, network_input, white_level
from malaria_detect.fields.synthetic import FieldSettings, synthetic_field
from malaria_detect.inference.model_files import sha256_of
from malaria_detect.training.finder_network import FinderNetwork
from malaria_detect.training.finder_settings import FinderEpoch, FinderSettings
from malaria_detect.training.finder_targets import Targets, batch_of, finder_loss, targets_of
from malaria_detect.training.precision import bfloat16_is_fast
from malaria_detect.training.settings import TrainingError

CHECKPOINT_FILE = "finder-checkpoint.pt"
# Stages that keep what they learnt from photographs: edges and colours look the same in all pictures.
_FROZEN = ("conv1", "bn1", "layer1")
_AVERAGE = 0.995  # of the weights of one step


class _Pictures(Dataset[tuple[torch.Tensor, Targets]]):
    """Synthetic pictures as network inputs with their targets, drawn when asked for."""

    def __init__(self, cut_outs: Sequence[CutOut], side: int, seeds: Sequence[Sequence[int]]) -> None:
        self.cut_outs, self.side, self.seeds = cut_outs, side, seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Targets]:
        seed = int(np.random.SeedSequence(list(self.seeds[index])).generate_state(1)[0])
        random = np.random.default_rng([*self.seeds[index], 1])
        spread = 0.25 if random.random() < 0.75 else 0.6
        diameter = float(np.clip(DIAMETER * np.exp(random.normal(0, spread)), 10, self.side / 2))
        field = synthetic_field(self.cut_outs, seed, FieldSettings(self.side, self.side, diameter))
        picture = network_input(field.pixels, white_level(field.pixels))
        return torch.from_numpy(picture), targets_of(field)


def finder_cells(cells: Sequence[Cell], settings: FinderSettings) -> tuple[list[CutOut], list[CutOut]]:
    """Cut-outs of training and of validation patients.

    Raises
    ------
    CellsError
        If the cells cannot be split by patient.
    SyntheticError
        If no cell can be used.
    """
    split = grouped_split(cells, seed=settings.split_seed)
    training, validation = (
        [cells[index] for index in part if cells[index].group not in settings.held_out]
        for part in (split.train, split.valid)
    )
    return (
        cut_outs_of(training, settings.seed, most=settings.cells),
        cut_outs_of(validation, settings.seed, most=settings.valid_cells),
    )


@dataclass(frozen=True, eq=False)
class TrainedFinder:
    """A trained cell finder.

    Attributes
    ----------
    network : FinderNetwork
        With the running average of the weights, in evaluation mode.
    history : tuple of FinderEpoch
    validation : list of CutOut
        Cells of the validation patients.
    start : str
        SHA-256 of the weights from which it started.
    """

    network: FinderNetwork
    history: tuple[FinderEpoch, ...]
    validation: list[CutOut]
    start: str


def train_finder(
    cells: Sequence[Cell],
    weights: Path,
    settings: FinderSettings,
    work: Path,
    resume: bool = False,
    report: Callable[[FinderEpoch], None] = print,
) -> TrainedFinder:
    """Train a cell finder; a checkpoint is written after every epoch.

    Parameters
    ----------
    cells : sequence of Cell
    weights : path
        State dict of torchvision's resnet18 to start from, such as one pretrained on ImageNet.
    settings : FinderSettings
    work : path
        Folder of the checkpoint.
    resume : bool
        Continue from the checkpoint in `work`, if there is one.
    report : callable
        Gets every epoch after its checkpoint was written.

    Raises
    ------
    TrainingError
        If the weights are none of a resnet18, the checkpoint is of other settings, or the loss is not a number.
    """
    trained, history = _started(weights, settings, work, resume)
    training, validation = finder_cells(cells, settings)
    fixed = _Pictures(
        validation, settings.side, [[settings.seed, 1, number] for number in range(settings.valid_pictures)]
    )
    while len(history) < settings.epochs:
        began = time.monotonic()
        loss = _epoch(trained, training, settings, len(history))
        valid = _losses(trained.average.module, fixed, settings.batch_size)
        history.append(
            FinderEpoch(
                len(history) + 1,
                loss,
                sum(valid.values()),
                valid["centre"],
                valid["rays"],
                valid["kind"],
                round(time.monotonic() - began, 1),
            )
        )
        with replaced(work / CHECKPOINT_FILE) as new, new.open("wb") as file:
            torch.save(trained.state(settings, history), file)
        report(history[-1])
    network = trained.average.module.eval()
    assert isinstance(network, FinderNetwork)
    return TrainedFinder(network, tuple(history), validation, sha256_of(weights))


class _Trained:
    """Network, running average of its weights, optimiser and schedule."""

    def __init__(self, settings: FinderSettings) -> None:
        self.network = FinderNetwork().to(memory_format=torch.channels_last)
        for stage in _FROZEN:
            self.network.encoder[stage].requires_grad_(False)
        learnt = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(learnt, settings.lr, weight_decay=0.01)
        steps = settings.epochs * settings.batches
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.lr, total_steps=steps + 1, pct_start=0.15
        )
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGE), use_buffers=True
        )
        self.bfloat16 = bfloat16_is_fast(torch.device("cpu"))

    def state(self, settings: FinderSettings, history: Sequence[FinderEpoch]) -> dict[str, Any]:
        """Everything that is needed to go on."""
        parts = ("network", "average", "optimiser", "schedule")
        return {
            "settings": asdict(settings),
            "history": [asdict(epoch) for epoch in history],
            **{name: getattr(self, name).state_dict() for name in parts},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state of :meth:`state`."""
        for name in ("network", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(state[name])


def _started(
    weights: Path, settings: FinderSettings, work: Path, resume: bool
) -> tuple[_Trained, list[FinderEpoch]]:
    torch.manual_seed(settings.seed)
    trained = _Trained(settings)
    checkpoint = work / CHECKPOINT_FILE
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if state["settings"] != asdict(settings):
            raise TrainingError(
                f"{checkpoint} was written with other settings. Use the same ones, or another --work.",
                reason="other_run",
            )
        trained.restore(state)
        return trained, [FinderEpoch(**epoch) for epoch in state["history"]]
    work.mkdir(parents=True, exist_ok=True)
    names = trained.network.encoder.state_dict().keys()
    try:
        start = torch.load(weights, weights_only=True)
        trained.network.encoder.load_state_dict({name: start[name].float() for name in names})
    except (OSError, pickle.UnpicklingError, RuntimeError, LookupError, AttributeError, TypeError) as error:
        raise TrainingError(
            f"{weights} is not a state dict of torchvision's resnet18 with conv1 to layer3.",
            reason="bad_weights",
        ) from error
    trained.average.module.load_state_dict(trained.network.state_dict())
    return trained, []


def _epoch(trained: _Trained, cut_outs: Sequence[CutOut], settings: FinderSettings, number: int) -> float:
    """Train for one epoch; the mean loss."""
    pictures = settings.batches * settings.batch_size
    seeds = [[settings.seed, 2, number, index] for index in range(pictures)]
    loader = _loader(_Pictures(cut_outs, settings.side, seeds), settings.batch_size, workers=2)
    network = trained.network.train()
    for stage in _FROZEN:
        network.encoder[stage].eval()
    total = 0.0
    for inputs, *targets in loader:
        with torch.autocast("cpu", torch.bfloat16, enabled=trained.bfloat16):
            maps = network(inputs.contiguous(memory_format=torch.channels_last))
        loss = torch.stack(list(finder_loss(maps, targets).values())).sum()
        trained.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        trained.optimiser.step()
        trained.schedule.step()
        trained.average.update_parameters(network)
        total += float(loss.detach())
    if not math.isfinite(total):
        raise TrainingError(
            "Training diverged (the loss is not a number). Try a lower --lr.", reason="diverged"
        )
    return total / settings.batches


@torch.no_grad()
def _losses(network: torch.nn.Module, pictures: _Pictures, batch_size: int) -> dict[str, float]:
    network.eval()
    sums: dict[str, float] = {}
    for inputs, *targets in _loader(pictures, batch_size, workers=0):
        for name, loss in finder_loss(network(inputs), targets).items():
            sums[name] = sums.get(name, 0.0) + float(loss) * len(inputs) / len(pictures)
    return sums


def _loader(pictures: _Pictures, batch_size: int, workers: int) -> "DataLoader[Any]":
    return DataLoader(pictures, batch_size, num_workers=workers, collate_fn=_collated)


def _collated(items: Sequence[tuple[torch.Tensor, Targets]]) -> tuple[torch.Tensor, ...]:
    return torch.stack([picture for picture, _ in items]), *batch_of([targets for _, targets in items])
