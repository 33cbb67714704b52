"""A small CNN for images of 64 px."""

from typing import Any

from fastai.vision.all import AffineCoordTfm
from torch import nn

from malaria_detect.designs.scratch import one_output, scratch_design, start_like_keras
from malaria_detect.training.described import RandomSplit, Reported


def _small_cnn() -> nn.Module:
    """Two convolutions with pooling and dropout and a dense layer of 64 units."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)),
        nn.Flatten(),
        *(nn.Linear(64 * 14 * 14, 64), nn.ReLU(), nn.Dropout(0.5)),
        *one_output(64),
    )
    return start_like_keras(network)


def _only_scaled(size: int) -> list[Any]:
    return [AffineCoordTfm(size=size, pad_mode="zeros", align_corners=True)]


DESIGN = scratch_design(
    "small-cnn-64",
    64,
    _small_cnn,
    {"batch_size": 32, "base_lr": 1e-3, "optimiser": "keras-adam", "weight_decay": 0.0, "patience": 5},
    title="two convolutions and a dense layer of 64 units, from scratch",
    where="a TensorFlow tutorial's CNN: convolution, pooling, dropout, dense",
    augmentations=_only_scaled,
    reported=Reported(
        "random",
        {"roc_auc": 0.986, "sensitivity": 0.973, "precision": 0.943},
        "",
        "a TensorFlow tutorial's CNN",
    ),
    chosen="the numbers of filters and units, the dropout, the learning rate and the patience",
    split=RandomSplit(0.2, assumed=True),
)
