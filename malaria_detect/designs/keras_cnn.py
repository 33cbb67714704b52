"""The CNN of the Keras tutorials for images of 128 px, in PyTorch."""

from typing import Any

import torch
from fastai.vision.all import AffineCoordTfm, affine_mat, aug_transforms
from torch import nn

from malaria_detect.designs.scratch import scratch_design, start_like_keras
from malaria_detect.training.described import RandomSplit, Reported

_SIZE = 128
_SHEAR = 0.2


def _keras_cnn() -> nn.Module:
    """Three convolutions and a dense layer of 128 units."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *(nn.Linear(64 * (_SIZE // 4) ** 2, 128), nn.ReLU()),
        nn.Linear(128, 2),
    )
    return start_like_keras(network)


def sheared(images: torch.Tensor) -> torch.Tensor:
    """Affine matrices, (N, 3, 3), of a shear by a random angle between -0.2 and 0.2 rad.

    Rows are shifted by columns, as in older versions of Keras. Exported learners name this function by its path.
    """
    angle = torch.empty(len(images), device=images.device).uniform_(-_SHEAR, _SHEAR)
    none, one = torch.zeros_like(angle), torch.ones_like(angle)
    return affine_mat(angle.cos(), none, none, -angle.sin(), one, none)


def _sheared_zoomed_flipped(size: int) -> list[Any]:
    """Shear and zoom by up to 0.2 and horizontal flips; outside of the image is the nearest pixel, as in Keras."""
    transforms: list[Any] = aug_transforms(
        size=size,
        do_flip=True,
        max_rotate=0.0,
        min_zoom=0.8,
        max_zoom=1.2,
        max_warp=0.0,
        max_lighting=0.0,
        p_affine=1.0,
        pad_mode="border",
        xtra_tfms=[AffineCoordTfm(sheared, size=size, pad_mode="border", align_corners=True)],
    )
    return transforms


DESIGN = scratch_design(
    "keras-cnn-128",
    _SIZE,
    _keras_cnn,
    {"batch_size": 16, "base_lr": 1e-4, "optimiser": "keras-adam", "weight_decay": 0.0},
    title="three convolutions and a dense layer of 128 units, from scratch",
    where="a Keras tutorial's CNN",
    augmentations=_sheared_zoomed_flipped,
    reported=Reported(
        "random 70/30",
        {"accuracy": 0.9598},
        "training accuracy 0.9675, loss 0.1214",
        "a Keras tutorial's CNN",
    ),
    chosen="cells are padded to a square; the loader of Keras stretches them",
    split=RandomSplit(0.3, 1337),
)
