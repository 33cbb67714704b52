"""Cameras of other laboratories: colour, gamma, resolution, sharpening, JPEG and noise, drawn at random."""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from malaria_detect.training.random_draws import around, between, chance, factor, wide

# Of the longer side of an image in px.
_LEAST_RESOLUTION = 28
# Images of a batch in groups that share resolution, sharpening and JPEG quality, because they share a size.
_GROUPS = 6


def photographed(picture: torch.Tensor, kept: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Images that cameras take.

    Parameters
    ----------
    picture : torch.Tensor, float32, shape (N, 3, size, size)
        Light that reaches the camera, 0 to 1.
    kept : torch.Tensor, float32, shape (N, 1, size, size)
        1 where the image is kept; the rest becomes black.
    own : torch.Tensor, bool, shape (N,)
        Cells in the stain of their laboratory; the colours of most of them are left alone.

    Returns
    -------
    torch.Tensor, float32, shape (N, 3, size, size)
        RGB, 0 to 1.
    """
    number = len(picture)
    images = torch.cat([_coloured(picture, wide(~own | chance(number, 0.3)).float()), kept], 1)
    for group in torch.randperm(number).split(max(4, number // _GROUPS)):
        images[group] = _taken(images[group])
    return (images[:, :3] * images[:, 3:]).clamp(0, 1)


def _coloured(picture: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """Colour mixing, saturation, white balance and gamma where `changed` is 1."""
    number = len(picture)
    mixing = torch.eye(3) + around(0.05, number, 3, 3) * changed[:, 0]
    picture = torch.einsum("nij,njyx->niyx", mixing, picture)
    grey = picture.mean(1, keepdim=True)
    picture = grey + (picture - grey) * (1 + changed * (between(0.3, 1.5, number, 1, 1, 1) - 1))
    gain = between(0.8, 1.15, number, 1, 1, 1) * factor(0.05, number, 3, 1, 1)
    picture = picture * (1 + changed * (gain - 1))
    return picture.clamp(1e-3, 1) ** torch.exp(changed * between(-0.45, 0.45, number, 1, 1, 1))


def _taken(images: torch.Tensor) -> torch.Tensor:
    """Images of one resolution, (n, 4, size, size), with what is kept as the fourth channel."""
    size = images.shape[2]
    if _happens(0.6):
        least, most = math.log(min(_LEAST_RESOLUTION, size)), math.log(size)
        side = round(math.exp(_number(least, most)))
        mode = "area" if _happens(0.7) else "bilinear"
        images = functional.interpolate(images, size=(side, side), mode=mode)
    picture, kept = images[:, :3], images[:, 3:]
    if _happens(0.3):
        picture = (picture + _number(0.3, 1.5) * (picture - _blurred(picture, 1))).clamp(0, 1)
    elif _happens(0.3):
        picture = _blurred(picture, int(torch.randint(1, 3, ())))
    if _happens(0.45):
        picture = _compressed(picture, round(_number(35, 90)))
    if _happens(0.6):
        picture = picture + around(_number(0, 0.025), *picture.shape)
    images = torch.cat([picture, kept], 1)
    if images.shape[2] != size:
        images = functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return images


def _happens(probability: float) -> bool:
    return bool(chance(1, probability))


def _number(low: float, high: float) -> float:
    return float(between(low, high))


def _blurred(picture: torch.Tensor, reach: int) -> torch.Tensor:
    edged = functional.pad(picture, (reach,) * 4, mode="replicate")
    return functional.avg_pool2d(edged, 2 * reach + 1, 1)


def _compressed(picture: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = (picture * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    images = []
    for one in pixels:
        data = io.BytesIO()
        Image.fromarray(one).save(data, "JPEG", quality=quality)
        images.append(np.asarray(Image.open(data)))
    return torch.from_numpy(np.stack(images)).to(picture.device).permute(0, 3, 1, 2).float() / 255
