"""Designs of frozen ImageNet trunks with a dense head that is trained."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, VGG16_Weights, WeightsEnum, mobilenet_v2, vgg16

from malaria_detect.designs.resnet50v2 import resnet50v2_trunk
from malaria_detect.inference.input import INPUT_SIZE, MEAN, STD
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.datablock import cell_augmentations
from malaria_detect.training.design import Design, Started
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.reported import Reported
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


def frozen_design(name: str, title: str, where: str, trunks: Sequence[StartTrunk], **more: object) -> Design:
    """A design of frozen trunks, with one head on their concatenated features.

    `more` are other fields of :class:`malaria_detect.training.design.Design`.
    """

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


def _head(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(features),
        nn.Dropout(0.25),
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


def _torchvision_trunk(
    name: str, build: Callable[[], nn.Module], imagenet: WeightsEnum, features: int
) -> StartTrunk:
    """One of torchvision's networks without its classifier, averaged over the image; `starting_network`'s errors."""

    def start(weights: Weights) -> tuple[Started, int]:
        started = starting_network(weights, name, build, imagenet, required="features.")
        parts = {
            "features": started.network.get_submodule("features"),
            "mean": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
        }
        return replace(started, network=nn.Sequential(OrderedDict(parts))), features

    return start


_VGG16_TRUNK = _torchvision_trunk(
    "vgg16",
    # Its own initialization takes seconds, and all tensors in use are replaced.
    partial(vgg16, init_weights=False),
    VGG16_Weights.IMAGENET1K_V1,
    512,
)
_MOBILENETV2_TRUNK = _torchvision_trunk("mobilenetv2", mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V1, 1280)

VGG16 = frozen_design(
    "vgg16-frozen",
    "VGG-16 from ImageNet, frozen, with a dense head",
    "transfer learning as in many notebooks; the published scores are of Rajaraman 2018",
    [_VGG16_TRUNK],
    reported=Reported(
        "five folds, patients kept apart",
        {"accuracy": 0.945},
        "best patient-level accuracy of the paper 0.959",
        "PeerJ 6:e4568, PMC5907772 (quoted from a secondary source)",
    ),
)
RESNET50V2 = frozen_design(
    "resnet50v2-frozen",
    "ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "transfer learning as in many notebooks (ResNet50V2 of Keras)",
    [resnet50v2_trunk],
)
MOBILENETV2 = frozen_design(
    "mobilenetv2-frozen",
    "MobileNetV2 from ImageNet, frozen, with a dense head",
    "transfer learning for phones; the published scores are of a MobileNetV2; which layers were frozen is not known",
    [_MOBILENETV2_TRUNK],
    reported=Reported(
        "grouped",
        {"sensitivity": 0.9809, "specificity": 0.9435, "roc_auc": 0.9941},
        "ECE 0.026, after temperature scaling 0.0089",
        "repository Cyerme/DDLS_final_project_malaria_screening",
    ),
)
FUSION = frozen_design(
    "feature-fusion",
    "concatenated features of VGG-16 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion of two ImageNet networks",
    [_VGG16_TRUNK, resnet50v2_trunk],
)
FUSION_MOBILENETV2 = frozen_design(
    "feature-fusion-mobilenetv2",
    "concatenated features of MobileNetV2 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion with MobileNetV2 instead of VGG-16",
    [_MOBILENETV2_TRUNK, resnet50v2_trunk],
)
