"""Designs of frozen ImageNet trunks with a dense head that is trained."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from malaria_detect.inference.input import INPUT_SIZE, MEAN, STD
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.datablock import augmentations
from malaria_detect.training.design import Design, Started
from malaria_detect.training.settings import Weights

# From the settings' weights to a trunk, its number of features, its start, and a report of what was loaded.
StartTrunk = Callable[[Weights], tuple[nn.Module, int, StartWeights, str]]

_HIDDEN = 256


class Trunks(nn.Module):
    """Concatenated features of one or several trunks. Exported learners name this class by its path."""

    def __init__(self, trunks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(trunks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features, (N, F), of images, (N, 3, size, size)."""
        return torch.cat([trunk(images) for trunk in self.trunks], dim=1)


def pooled(features: nn.Module) -> nn.Sequential:
    """A trunk whose features, (N, F, height, width), are averaged over the image."""
    parts = {"features": features, "mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts))


def head(features: int) -> nn.Sequential:
    """A dense head: batch norm and a layer of 256 units, with dropout."""
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Dropout(0.25),
        nn.Linear(features, _HIDDEN),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(_HIDDEN, 2),
    )


def frozen_design(name: str, title: str, where: str, trunks: Sequence[StartTrunk], **more: object) -> Design:
    """A design of frozen trunks, with one head on their concatenated features.

    Parameters
    ----------
    name, title, where
        As in :class:`malaria_detect.training.design.Design`.
    trunks : sequence of callable
    **more
        Other fields of the design.
    """

    def start(weights: Weights) -> Started:
        modules, sizes, starts, reports = zip(*(trunk(weights) for trunk in trunks), strict=True)
        return Started(
            nn.Sequential(Trunks(modules), head(sum(sizes))), _together(starts), "\n".join(reports)
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
        augmentations=augmentations,
        training={
            "sizes": (INPUT_SIZE,) * 20,
            "freeze_epochs": 0,
            "average_epochs": 0,
            "base_lr": 2e-3,
            "label_smoothing": 0.0,
            "keep": "best",
        },
        frozen=True,
        chosen="the head (a layer of 256 units with dropout) and its training",
        **more,  # type: ignore[arg-type]
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
