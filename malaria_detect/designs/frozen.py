"""What designs share that train a dense head on frozen ImageNet trunks."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from fastai.layers import AdaptiveConcatPool2d
from torch import nn
from torchvision.models import WeightsEnum

from malaria_detect.inference.input import INPUT_SIZE, MEAN, STD
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.datablock import cell_augmentations
from malaria_detect.training.described import PatientFolds, RandomSplit, Reported
from malaria_detect.training.design import Design, Started
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.settings import Weights

# From the settings' weights to a trunk and its number of features.
StartTrunk = Callable[[Weights], tuple[Started, int]]

_HIDDEN = 256


class Trunks(nn.Module):
    """Concatenated features of one or several trunks. Exported learners name this class by its path."""

    def __init__(self, trunks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(trunks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, (N, F), of images, (N, 3, size, size)."""
        return torch.cat([trunk(images) for trunk in self.trunks], dim=1)


def frozen_design(
    name: str,
    title: str,
    where: str,
    trunks: Sequence[StartTrunk],
    *,
    reported: Reported | None = None,
    split: RandomSplit | PatientFolds | None = None,
    listed: bool = True,
) -> Design:
    """A design of frozen trunks, with one head on their concatenated features; see `DescribedDesign` for the rest."""

    def start(weights: Weights) -> Started:
        started, sizes = zip(*(trunk(weights) for trunk in trunks), strict=True)
        network = nn.Sequential(Trunks([one.network for one in started]), _head(sum(sizes)))
        return Started(
            network, _together([one.start for one in started]), "\n".join(one.report for one in started)
        )

    return Design(
        name=name,
        title=title,
        where=where,
        input_size=INPUT_SIZE,
        any_size=False,
        mean=MEAN,
        std=STD,
        start=start,
        augmentations=cell_augmentations,
        training={
            # Chosen on validation patients, as is the dropout: the features are many, and heads soon overfit.
            "sizes": (INPUT_SIZE,) * 12,
            "freeze_epochs": 0,
            "average_epochs": 0,
            "base_lr": 6e-4,
            "label_smoothing": 0.1,
            "keep": "best",
        },
        frozen=True,
        chosen="the head (a layer of 256 units with dropout) and its training",
        reported=reported,
        split=split,
        listed=listed,
    )


def _head(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Dropout(0.5),
        nn.Linear(features, _HIDDEN),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(_HIDDEN, 2),
    )


def _together(starts: Sequence[StartWeights]) -> StartWeights:
    """Several starts in one record."""
    return StartWeights(
        source=" + ".join(dict.fromkeys(start.source for start in starts)),
        name=" + ".join(start.name for start in starts),
        sha256=" + ".join(start.sha256 for start in starts if start.sha256),
        loaded=sum(start.loaded for start in starts),
        missing=sum(start.missing for start in starts),
        identity_blocks=(),
    )


def torchvision_trunk(
    name: str, build: Callable[[], nn.Module], imagenet: WeightsEnum, channels: int
) -> StartTrunk:
    """One of torchvision's networks without its classifier, pooled over the image; `starting_network`'s errors.

    Pooling is fastai's: the maximum and the mean of each of the `channels`.
    """

    def start(weights: Weights) -> tuple[Started, int]:
        started = starting_network(weights, name, build, imagenet, required="features.")
        parts = {
            "features": started.network.get_submodule("features"),
            "pool": AdaptiveConcatPool2d(1),
            "flatten": nn.Flatten(),
        }
        return replace(started, network=nn.Sequential(OrderedDict(parts))), 2 * channels

    return start
