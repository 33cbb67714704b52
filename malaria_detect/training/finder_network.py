"""The network of the cell finder, see :mod:`malaria_detect.fields.maps`."""

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from malaria_detect.fields.cell import KINDS
from malaria_detect.fields.maps import RAYS, Maps

_CHANNELS = 64


class FinderNetwork(nn.Module):
    """A resnet18 without its last stage, and a pyramid that brings its features to a quarter of the resolution.

    Examples
    --------
    >>> maps = FinderNetwork()(torch.rand(1, 3, 64, 96))
    >>> maps.centre.shape, maps.rays.shape
    (torch.Size([1, 16, 24]), torch.Size([1, 32, 16, 24]))
    """

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet18(weights=None)
        self.encoder = nn.ModuleDict(
            {name: getattr(trunk, name) for name in ("conv1", "bn1", "layer1", "layer2", "layer3")}
        )
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _CHANNELS, 1) for channels in (64, 128, 256))
        self.smooth = nn.Sequential(*(_convolution(_CHANNELS) for _ in range(2)))
        self.head = nn.Conv2d(_CHANNELS, 1 + 2 + RAYS + len(KINDS), 1)

    def forward(self, pictures: torch.Tensor) -> Maps:
        """Maps of pictures, shape (N, 3, height, width), from :func:`malaria_detect.fields.maps.network_input`."""
        stem = functional.relu(self.encoder["bn1"](self.encoder["conv1"](pictures)))
        first = self.encoder["layer1"](functional.max_pool2d(stem, 3, 2, 1))
        second = self.encoder["layer2"](first)
        third = self.encoder["layer3"](second)
        joined = self.lateral[2](third)
        for lateral, features in ((self.lateral[1], second), (self.lateral[0], first)):
            joined = functional.interpolate(joined, scale_factor=2.0, mode="nearest") + lateral(features)
        output = self.head(self.smooth(joined))
        centre, *others = torch.split(output, [1, 2, RAYS, len(KINDS)], dim=1)
        return Maps(centre[:, 0], *others)


def _convolution(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )
