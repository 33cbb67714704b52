"""What training needs to know of a network: its layers, its input, and how its author trained it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from fastai.vision.all import (
    SGD,
    Adam,
    CrossEntropyLossFlat,
    DataLoaders,
    Learner,
    RocAucBinary,
    accuracy,
    skm_to_fastai,
)
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.described import DescribedDesign
from malaria_detect.training.settings import TrainingError, TrainSettings, Weights

# fastai's Adam has other constants than that of Keras. The weight decay of SGD is added to the gradient, as usual.
_OPTIMISERS = {
    "adam": Adam,
    "keras-adam": partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-7),
    "sgd": partial(SGD, mom=0.9, decouple_wd=False),
}


@dataclass(frozen=True)
class Started:
    """A network before training, and what it starts from.

    The network takes images, float32, (N, 3, size, size), and returns logits, (N, 2): Parasitized, Uninfected. The
    report, for the person who trains, says which tensors were loaded.
    """

    network: nn.Module
    start: StartWeights
    report: str


def training_parts(settings: TrainSettings) -> dict[str, Any]:
    """Loss, optimiser and metrics as arguments of fastai's ``Learner``.

    The metrics are accuracy, and precision, recall, F1 (of Parasitized) and ROC AUC, in the order of
    :data:`malaria_detect.inference.metadata.EPOCH_SCORES`.
    """
    return {
        "loss_func": class_loss(settings),
        "opt_func": _OPTIMISERS[settings.optimiser],
        "wd": settings.weight_decay,
        "metrics": [
            accuracy,
            # A score that is 0 / 0, such as the precision if no cell is called parasitized, counts as 0.
            *(
                skm_to_fastai(score, pos_label=0, zero_division=0)
                for score in (precision_score, recall_score, f1_score)
            ),
            RocAucBinary(),
        ],
    }


def class_loss(settings: TrainSettings, labels: Sequence[str] = ()) -> CrossEntropyLossFlat:
    """Cross-entropy with label smoothing, of classes or of their probabilities.

    `labels`, those of the training cells, are needed if the settings balance the classes, which then count the same.

    Examples
    --------
    >>> settings = TrainSettings(class_weights="balanced")
    >>> class_loss(settings, ["Parasitized", *["Uninfected"] * 3]).func.weight
    tensor([2.0000, 0.6667])
    """
    weights = None
    if labels and settings.class_weights == "balanced":
        balanced = compute_class_weight("balanced", classes=np.array(CLASSES), y=np.array(labels))
        weights = torch.tensor(balanced, dtype=torch.float32)
    # Not flattened: targets may be probabilities, shape (N, 2).
    return CrossEntropyLossFlat(flatten=False, weight=weights, label_smoothing=settings.label_smoothing)


def plain_learner(dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
    """A fastai ``Learner`` with an unchanged network."""
    return Learner(dls, network, **training_parts(settings))


@dataclass(frozen=True, kw_only=True)
class Design(DescribedDesign):
    """A network and how it is trained.

    Attributes
    ----------
    input_size, any_size : int, bool
        Image size (side in px) at prediction, and whether it can be trained at others.
    mean, std : tuple of float
        Normalization: RGB in 0 to 1 minus `mean`, divided by `std`.
    start : callable
        From ``TrainSettings.weights`` to a :class:`Started` network.
    augmentations : callable
        From an image size in px to fastai's batch transforms.
    wrap : callable
        From DataLoaders, network and settings to a Learner in which nothing is frozen.
    training : dict
        The author's training: fields of :class:`malaria_detect.training.settings.TrainSettings` that differ from the
        default.
    frozen : bool
        Whether the network is a sequence of a trunk and a head, of which only the head is trained. The features of the
        trunk are computed once for each cell.
    """

    input_size: int
    any_size: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    start: Callable[[Weights], Started]
    augmentations: Callable[[int], list[Any]]
    wrap: Callable[[DataLoaders, nn.Module, TrainSettings], Learner] = plain_learner
    training: Mapping[str, Any] = field(default_factory=dict)
    frozen: bool = False

    @property
    def has_fastai_head(self) -> bool:
        """Whether the network is fastai's sequence of a trunk and a head."""
        return self.wrap is not plain_learner

    def settings(self, **changed: Any) -> TrainSettings:
        """The author's training, with some fields changed; ``epochs`` is their number at the design's size."""
        if "epochs" in changed:
            changed["sizes"] = (self.input_size,) * changed.pop("epochs")
        return TrainSettings(**{**self.training, "network": self.name, **changed})

    def check_sizes(self, sizes: Iterable[int]) -> None:
        """Raise TrainingError if the network cannot take images of all these sizes, in px."""
        given = dict.fromkeys(sizes)
        if not self.any_size and set(given) != {self.input_size}:
            raise TrainingError(
                f"{self.name} needs images of {self.input_size} px; the sizes given are {', '.join(map(str, given))}.",
                "wrong_size",
            )
