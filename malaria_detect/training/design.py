"""What makes a network trainable by name: its layers, its input, how its author trained it, and what came out there."""

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
from malaria_detect.training.settings import TrainSettings

# By the names of TrainSettings. fastai's Adam forgets squares of gradients sooner than Keras's, and divides by no less
# than 1e-5. The weight decay of SGD is added to the gradient, as its users mean it.
_OPTIMISERS = {
    "adam": Adam,
    "keras-adam": partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    "sgd": partial(SGD, mom=0.9, decouple_wd=False),
}


# What trainings from scratch share: a constant rate, hard labels, and the epoch that validation cells liked best.
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
        From pictures, float32, (N, 3, size, size), to logits, (N, 2): Parasitized, Uninfected.
    start : StartWeights
        For the metadata.
    report : str
        What was loaded and what was not, for the person who trains.
    """

    network: nn.Module
    start: StartWeights
    report: str


@dataclass(frozen=True)
class AuthorSplit:
    """An author's own split: this share of the cells held out at random, so that patients stand on both sides.

    ``seed`` is the author's; None where it is not known.
    """

    held_out: float
    seed: int | None


class Wrap(Protocol):
    """How a started network becomes a fastai Learner."""

    def __call__(self, dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
        """Make the learner; nothing in it is frozen."""


def training_parts(settings: TrainSettings) -> dict[str, Any]:
    """Loss, optimiser and metrics as fastai's ``Learner`` takes them.

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
    """A fastai ``Learner`` around a network as it is."""
    return Learner(dls, network, **training_parts(settings))


def start_like_keras(network: nn.Module) -> nn.Module:
    """Draw weights as Keras does: uniformly after Glorot and Bengio 2010 (AISTATS), biases 0; changed in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def one_output(features: int) -> nn.Sequential:
    """A dense layer with a single output, in the form of two logits, of which that of Uninfected is always 0.

    Softmax of the two is the sigmoid of the one, and cross-entropy is binary cross-entropy, so that networks with
    one sigmoid go through the same code as all others.

    Examples
    --------
    >>> import torch
    >>> one_output(3)(torch.zeros(2, 3)).shape
    torch.Size([2, 2])
    """
    return nn.Sequential(nn.Linear(features, 1), nn.ConstantPad1d((0, 1), 0.0))


@dataclass(frozen=True)
class Design:
    """A network that can be trained by name.

    Attributes
    ----------
    name, title : str
        What it is called on the command line, and what it is, in one line.
    where : str
        Where the design comes from.
    input_size : int
        Side in px of the pictures that it is used on.
    any_size : bool
        Whether it can be trained on pictures of other sizes.
    mean, std : tuple of float
        RGB in 0 to 1 minus the one, divided by the other.
    start : callable
        From ``TrainSettings.weights`` to a :class:`Started` network.
    augmentations : callable
        From a side in px to fastai's batch transforms.
    wrap : callable
        From DataLoaders, network and settings to a Learner.
    training : dict
        The author's training: those fields of :class:`malaria_detect.training.settings.TrainSettings` that are not
        the default.
    frozen : bool
        The network is a trunk and a head in a sequence. Only the head learns, from the trunk's features, which are
        computed once for each cell.
    reported : Reported or None
        What the author printed; None where nothing is known.
    chosen : str
        What the design leaves open and was chosen here, for the table; empty for nothing.
    split : AuthorSplit or None
        The author's split; None where it is not known, or where it was like ours.
    """

    name: str
    title: str
    where: str
    input_size: int
    any_size: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    start: Callable[[str], Started]
    augmentations: Callable[[int], list[Any]]
    wrap: Wrap = plain_learner
    training: Mapping[str, Any] = field(default_factory=dict)
    frozen: bool = False
    reported: Reported | None = None
    chosen: str = ""
    split: AuthorSplit | None = None

    def changes(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Changed fields of the settings, where ``epochs``, which is none, stands for as many at the design's size."""
        given = dict(fields)
        if "epochs" in given:
            given["sizes"] = (self.input_size,) * given.pop("epochs")
        return given

    def settings(self, **changed: Any) -> TrainSettings:
        """The author's training, with some fields changed.

        Raises
        ------
        TrainingError
            Where no run could have these settings.
        """
        return TrainSettings(**{**self.training, "network": self.name, **changed})
