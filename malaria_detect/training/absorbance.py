"""What cells absorb: images as sums of stains (Beer-Lambert)."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Absorbance:
    """What cells absorb.

    Attributes
    ----------
    total : torch.Tensor, float32, shape (N, 3, side, side)
        Absorbance relative to the brightest part of the cell; 0 outside.
    even : torch.Tensor, float32, shape (N, 3, 1, 1)
        Its median in the cell; the difference to it is parasites, pallor and stain deposits.
    cover : torch.Tensor, float32, shape (N, 1, side, side)
        1 in the cell, 0 outside.
    light : torch.Tensor, float32, shape (N, 3, 1, 1)
        Colour of the brightest part, 0 to 1.
    """

    total: torch.Tensor
    even: torch.Tensor
    cover: torch.Tensor
    light: torch.Tensor

    @property
    def uneven(self) -> torch.Tensor:
        """Difference from even staining, shape (N, 3, side, side)."""
        return (self.total - self.even) * self.cover

    @classmethod
    def of(cls, cells: torch.Tensor) -> "Absorbance":
        """Absorbance of cells on black, uint8, shape (N, 3, side, side)."""
        pixels = cells.float()
        cover = (pixels.amax(1, keepdim=True) > 10).float()
        # The outermost pixel is half black.
        cover = -functional.max_pool2d(-cover, 3, 1, 1)
        step = max(1, pixels.shape[2] // 48)
        few, inside = (part[:, :, ::step, ::step].flatten(2) for part in (pixels, cover))
        colours = few.masked_fill(inside == 0, math.nan)
        light, middle = (
            colours.nanquantile(share, dim=2).nan_to_num(255).clamp_min(least)[..., None, None]
            for share, least in ((0.97, 40), (0.5, 20))
        )
        return cls(_absorbed(pixels, light) * cover, _absorbed(middle, light), cover, light / 255)


def _absorbed(pixels: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    return -torch.log((pixels / light).clamp(0.02, 1.0))
