"""What training needs to know of a network: its layers, its input, and how its author trained it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from fastai.vision.all import (
    SGD,
    Adam,
    DataLoaders,
    F1Score,
    LabelSmoothingCrossEntropyFlat,
    Learner,
    Precision,
    Recall,
    RocAucBinary,
    accuracy,
)
from torch import nn

from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.reported import Reported
from malaria_detect.training.settings import TrainSettings, Weights

# fastai's Adam has other constants than that of Keras. The weight decay of SGD is added to the gradient, as usual.
_OPTIMISERS = {
    "adam": Adam,
    "keras-adam": partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    "sgd": partial(SGD, mom=0.9, decouple_wd=False),
}

# What designs that are trained from scratch share.
FROM_SCRATCH: Mapping[str, Any] = MappingProxyType(
    {
        "freeze_epochs": 0,
        "average_epochs": 0,
        "schedule": "constant",
        "keep": "best",
        "label_smoothing": 0.0,
        "weights": "none",
    }
)


@dataclass(frozen=True)
class Started:
    """A network before training.

    Attributes
    ----------
    network : torch.nn.Module
        From images, float32, (N, 3, size, size), to logits, (N, 2): Parasitized, Uninfected.
    start : StartWeights
        What it starts from, for the metadata.
    report : str
        Which tensors were loaded, for the person who trains.
    """

    network: nn.Module
    start: StartWeights
    report: str


@dataclass(frozen=True)
class AuthorSplit:
    """An author's own split: a share of the cells is held out at random, so that patients are in both parts.

    Attributes
    ----------
    held_out : float
        The share, 0 to 1.
    seed : int or None
        The author's seed; None if it is not known.
    """

    held_out: float
    seed: int | None


class Wrap(Protocol):
    """How a network becomes a fastai Learner."""

    def __call__(self, dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
        """A learner in which nothing is frozen."""


def training_parts(settings: TrainSettings) -> dict[str, Any]:
    """Loss, optimiser and metrics as arguments of fastai's ``Learner``.

    The metrics are accuracy, and precision, recall, F1 (of Parasitized) and ROC AUC, in the order of
    :data:`malaria_detect.inference.metadata.EPOCH_SCORES`.
    """
    return {
        "loss_func": LabelSmoothingCrossEntropyFlat(eps=settings.label_smoothing),
        "opt_func": _OPTIMISERS[settings.optimiser],
        "wd": settings.weight_decay,
        "metrics": [
            accuracy,
            Precision(pos_label=0),
            Recall(pos_label=0),
            F1Score(pos_label=0),
            RocAucBinary(),
        ],
    }


def plain_learner(dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
    """A fastai ``Learner`` with an unchanged network."""
    return Learner(dls, network, **training_parts(settings))


def start_like_keras(network: nn.Module) -> nn.Module:
    """The network with weights drawn as in Keras (Glorot and Bengio 2010, AISTATS) and biases 0; changed in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def one_output(features: int) -> nn.Sequential:
    """A dense layer with one output, as two logits: the logit of Uninfected is always 0.

    The softmax of both is the sigmoid of the output, and cross-entropy is binary cross-entropy. So designs with one
    sigmoid use the same code as all others.

    Examples
    --------
    >>> import torch
    >>> one_output(3)(torch.zeros(2, 3)).shape
    torch.Size([2, 2])
    """
    return nn.Sequential(nn.Linear(features, 1), nn.ConstantPad1d((0, 1), 0.0))


@dataclass(frozen=True)
class Design:
    """A network and how it is trained.

    Attributes
    ----------
    name, title : str
        Its name on the command line, and what it is, in one line.
    where : str
        Where the design comes from.
    input_size : int
        Image size (side in px) at prediction.
    any_size : bool
        Whether it can be trained at other image sizes.
    mean, std : tuple of float
        Normalization: RGB in 0 to 1 minus `mean`, divided by `std`.
    start : callable
        From ``TrainSettings.weights`` to a :class:`Started` network.
    augmentations : callable
        From an image size in px to fastai's batch transforms.
    wrap : callable
        From DataLoaders, network and settings to a Learner.
    training : dict
        The author's training: fields of :class:`malaria_detect.training.settings.TrainSettings` that differ from the
        default.
    frozen : bool
        Whether the network is a sequence of a trunk and a head, of which only the head is trained. The features of the
        trunk are computed once for each cell.
    reported : Reported or None
        Scores that the author published; None if none are known.
    chosen : str
        What the design leaves open and was chosen here; empty if nothing.
    split : AuthorSplit or None
        The author's split; None if it is not known, or is by patient.
    """

    name: str
    title: str
    where: str
    input_size: int
    any_size: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    start: Callable[[Weights], Started]
    augmentations: Callable[[int], list[Any]]
    wrap: Wrap = plain_learner
    training: Mapping[str, Any] = field(default_factory=dict)
    frozen: bool = False
    reported: Reported | None = None
    chosen: str = ""
    split: AuthorSplit | None = None

    def changes(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Changed fields of the settings; ``epochs``, a number of epochs at the design's size, becomes ``sizes``."""
        given = dict(fields)
        if "epochs" in given:
            given["sizes"] = (self.input_size,) * given.pop("epochs")
        return given

    def settings(self, **changed: Any) -> TrainSettings:
        """The author's training, with some fields changed.

        Raises
        ------
        TrainingError
            As :class:`malaria_detect.training.settings.TrainSettings`.
        """
        return TrainSettings(**{**self.training, "network": self.name, **changed})
