"""What designs share that are trained from scratch."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from malaria_detect.training.described import PatientFolds, RandomSplit, Reported
from malaria_detect.training.design import Design, Started
from malaria_detect.training.pretrained import WeightsError, started_at_random
from malaria_detect.training.settings import Weights


def scratch_design(
    name: str,
    size: int,
    build: Callable[[], nn.Module],
    training: Mapping[str, Any],
    *,
    title: str,
    where: str,
    augmentations: Callable[[int], list[Any]],
    reported: Reported | None = None,
    split: RandomSplit | PatientFolds | None = None,
    chosen: str = "",
) -> Design:
    """A design that starts at random and is trained at one size in px, on RGB in 0 to 1.

    `build` returns the network with random weights. `training` changes the settings: 30 epochs at a constant rate, of
    which the best is kept. For the rest see :class:`malaria_detect.training.design.Design`.
    """

    def start(weights: Weights) -> Started:
        if weights != "none":
            raise WeightsError(f"{name} starts at random. Leave --weights out.", "not_used")
        return started_at_random(build())

    common = {
        "sizes": (size,) * 30,
        "freeze_epochs": 0,
        "average_epochs": 0,
        "schedule": "constant",
        "keep": "best",
        "label_smoothing": 0.0,
        "weights": "none",
    }
    return Design(
        name=name,
        input_size=size,
        any_size=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        start=start,
        training={**common, **training},
        title=title,
        where=where,
        augmentations=augmentations,
        reported=reported,
        split=split,
        chosen=chosen,
    )


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
    """
    return nn.Sequential(nn.Linear(features, 1), nn.ConstantPad1d((0, 1), 0.0))
