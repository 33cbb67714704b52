"""A small CNN for first experiments at 64 px: it trains in minutes."""

from typing import Any

from fastai.vision.all import AffineCoordTfm
from torch import nn

from malaria_detect.training.design import FROM_SCRATCH, Design, Started, one_output, start_like_keras
from malaria_detect.training.pretrained import random_start
from malaria_detect.training.settings import Weights

_SIZE = 64


def start(weights: Weights) -> Started:
    """Two convolutions with pooling and dropout and a dense layer of 64 units, with random weights."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)),
        nn.Flatten(),
        *(nn.Linear(64 * 14 * 14, 64), nn.ReLU(), nn.Dropout(0.5)),
        *one_output(64),
    )
    return Started(start_like_keras(network), *random_start(weights, "small-cnn-64"))


def augmentations(size: int) -> list[Any]:
    """Only scaling."""
    return [AffineCoordTfm(size=size, pad_mode="zeros", align_corners=True)]


DESIGN = Design(
    name="small-cnn-64",
    title="two convolutions and a dense layer of 64 units, from scratch",
    where="the usual CNN of first experiments: convolution, pooling, dropout, dense",
    input_size=_SIZE,
    any_size=False,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    start=start,
    augmentations=augmentations,
    training={
        **FROM_SCRATCH,
        "sizes": (_SIZE,) * 30,
        "batch_size": 32,
        "base_lr": 1e-3,
        "optimiser": "keras-adam",
        "weight_decay": 0.0,
        "patience": 5,
    },
    chosen="the numbers of filters and units, the dropout, the learning rate and the patience",
)
