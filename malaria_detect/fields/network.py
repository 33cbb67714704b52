"""The network of the cell finder: a centre map with the distances to the outline, as in StarDist.

For every fourth pixel in each direction it predicts how near the centre of a cell is, where that centre is, how far the
outline is from it in 32 directions [1]_, and the kind of the cell. Distances are those from the centre, so all pixels
of a cell predict the same outline.

References
----------
.. [1] U. Schmidt et al., Cell detection with star-convex polygons, MICCAI 2018, LNCS 11071, 265-273.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from malaria_detect.fields.cell import KINDS

RAYS = 32
RAY_ANGLES = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
STRIDE = 4  # px of the input for one value of the output
MULTIPLE = 16  # height and width of the input are multiples of it
UNIT = 8.0  # px; distances are predicted as the logarithm of their multiple of it
DIAMETER = 32.0  # px; a field is scaled so that its red cells have it
_CHANNELS = 64
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Maps:
    """Output of the network for a batch of N pictures, h and w being a quarter of their height and width.

    Attributes
    ----------
    centre : torch.Tensor, shape (N, h, w)
        Log-odds of nearness to a centre, which falls from 1 at the centre of a cell to 0 at its outline.
    offset : torch.Tensor, shape (N, 2, h, w)
        From the middle of the pixel to the centre, x and y, in `UNIT`.
    rays : torch.Tensor, shape (N, 32, h, w)
        Natural logarithm of the distances from the centre to the outline in `UNIT`.
    kind : torch.Tensor, shape (N, 3, h, w)
        Logits of `malaria_detect.fields.cell.KINDS`.
    """

    centre: torch.Tensor
    offset: torch.Tensor
    rays: torch.Tensor
    kind: torch.Tensor


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
        """Maps of pictures, shape (N, 3, height, width), from :func:`network_input`."""
        stem = functional.relu(self.encoder["bn1"](self.encoder["conv1"](pictures)))
        first = self.encoder["layer1"](functional.max_pool2d(stem, 3, 2, 1))
        second = self.encoder["layer2"](first)
        third = self.encoder["layer3"](second)
        joined = self.lateral[2](third)
        for lateral, features in ((self.lateral[1], second), (self.lateral[0], first)):
            joined = functional.interpolate(joined, scale_factor=2.0, mode="nearest") + lateral(features)
        output = self.head(self.smooth(joined))
        return Maps(*(part.squeeze(1) if part.shape[1] == 1 else part for part in _split(output)))


def _convolution(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )


def _split(output: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(output, [1, 2, RAYS, len(KINDS)], dim=1)


def white_level(pixels: np.ndarray) -> np.ndarray:
    """Brightness of blank smear in each channel, float32, shape (3,), 1 to 255.

    The 95th percentile of the pixels that are lit: stain and camera change it, and the eyepiece's black surroundings
    must not.

    Examples
    --------
    >>> white_level(np.full((10, 10, 3), 200, np.uint8))
    array([200., 200., 200.], dtype=float32)
    """
    sampled = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)].reshape(-1, 3)
    lit = sampled[sampled.max(axis=1) > 24]
    if not len(lit):
        return np.full(3, 255, dtype=np.float32)
    return np.maximum(np.percentile(lit, 95, axis=0), 1).astype(np.float32)


def network_input(pixels: np.ndarray, white: np.ndarray) -> torch.Tensor:
    """A picture as the network takes it: blank smear made white, normalised, padded to multiples of 16 px.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
    white : numpy.ndarray, float32, shape (3,)
        From :func:`white_level` of the whole field.

    Returns
    -------
    torch.Tensor, float32, shape (3, height, width), each side rounded up
    """
    height, width = pixels.shape[:2]
    picture = torch.zeros(3, -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE)
    for channel in range(3):
        scale = 0.9 / float(white[channel]) / _STD[channel]
        shift = -_MEAN[channel] / _STD[channel]
        picture[channel, :height, :width] = torch.from_numpy(pixels[..., channel] * scale + shift)
    return picture
