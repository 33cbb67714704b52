"""Designs that are trained from scratch: what they share, a small CNN and a resnet18."""

from collections.abc import Callable, Mapping
from typing import Any

from fastai.vision.all import AffineCoordTfm
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.training.datablock import cell_augmentations
from malaria_detect.training.design import Design, Started
from malaria_detect.training.pretrained import WeightsError, started_at_random
from malaria_detect.training.settings import Weights


def scratch_design(
    name: str, size: int, build: Callable[[], nn.Module], training: Mapping[str, Any], **more: Any
) -> Design:
    """A design that starts at random and is trained at one size in px, on RGB in 0 to 1.

    `build` returns the network with random weights. `training` changes the settings: 30 epochs at a constant rate, of
    which the best is kept. `more` are other fields of :class:`malaria_detect.training.design.Design`.
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
        **more,
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


def _resnet18() -> nn.Module:
    """Four stages of two basic blocks after a 3x3 stem without stride or pooling."""
    network = ResNet(BasicBlock, [2, 2, 2, 2])
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    for layer in (network.layer2, network.layer3, network.layer4):
        narrow, wide = layer[0].conv1.in_channels, layer[0].conv1.out_channels
        layer[0].downsample[0] = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d):
            # As in torchvision (He et al. 2015, arXiv 1502.01852), also for the convolutions that were replaced.
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    # 110 px are halved three times to 14, and pooled to 3.
    network.avgpool = nn.AvgPool2d(4)
    network.fc = one_output(512 * 3 * 3)
    return network


SMALL_CNN = scratch_design(
    "small-cnn-64",
    64,
    _small_cnn,
    {"batch_size": 32, "base_lr": 1e-3, "optimiser": "keras-adam", "weight_decay": 0.0, "patience": 5},
    title="two convolutions and a dense layer of 64 units, from scratch",
    where="the usual CNN of first experiments: convolution, pooling, dropout, dense",
    augmentations=_only_scaled,
    chosen="the numbers of filters and units, the dropout, the learning rate and the patience",
)

RESNET18 = scratch_design(
    "resnet18-scratch-110",
    110,
    _resnet18,
    {"base_lr": 0.1, "optimiser": "sgd", "weight_decay": 1e-4, "patience": 5},
    title="resnet18 with a 3x3 stem, from scratch",
    where="a resnet18 written from the paper (He et al. 2016, CVPR) for whole cells at 110 px",
    augmentations=cell_augmentations,
    chosen="batches of 64, the augmentation of this project, 30 epochs and a patience of 5",
)
