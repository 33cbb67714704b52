"""Pictures of a cell that are too poor for a certain answer: grey, overexposed or blurred."""

import numpy as np
import scipy
from PIL import Image

from malaria_detect.data.image_checks import COLOURLESS, is_colourless, lit_part

OVEREXPOSED = "This image is overexposed. Reduce the exposure, or look at this cell yourself."
BLURRED = "This image is blurred, which hides small parasites. Focus again, or look at this cell yourself."

# Of 255: at its limit, a channel says nothing about the stain.
_CLIPPED = 254
# Of the middle of the picture. None of 480 cells of four laboratories has more than 0.01.
_CLIPPED_SHARE = 0.1
# Px along the longest side of the cell: enough for a ring, and noise of larger pictures is averaged.
_SIDE = 96
# Fine over coarse detail. Cells of four laboratories have 0.21 or more, NIH/NLM cells 0.34; blurred by a 40th of their
# size, they have 0.18 or less.
_LEAST_DETAIL = 0.19


def quality_problems(image: Image.Image) -> tuple[str, ...]:
    """Why an RGB image of a cell is too poor for a certain answer, as sentences; most have none.

    Examples
    --------
    >>> COLOURLESS in quality_problems(Image.linear_gradient("L").convert("RGB"))
    True
    """
    found = {COLOURLESS: is_colourless, OVEREXPOSED: _is_overexposed, BLURRED: _is_blurred}
    return tuple(sentence for sentence, is_so in found.items() if is_so(image))


def _is_overexposed(image: Image.Image) -> bool:
    width, height = image.size
    middle = image.crop((width // 4, height // 4, width - width // 4, height - height // 4))
    return bool((np.asarray(middle).max(axis=2) >= _CLIPPED).mean() > _CLIPPED_SHARE)


def _is_blurred(image: Image.Image) -> bool:
    cell = lit_part(image)[0]
    scale = _SIDE / max(cell.size)
    size = max(1, round(cell.width * scale)), max(1, round(cell.height * scale))
    pixels = np.asarray(cell.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    lit = pixels.max(axis=2) > 20  # JPEG leaves traces in black
    green = pixels[..., 1].astype(np.float32)
    soft, softer = (scipy.ndimage.gaussian_filter(green, sigma, truncate=2.5) for sigma in (1.0, 4.0))
    fine, coarse = np.abs(green - soft), np.abs(soft - softer)
    return bool(fine[lit].sum() < _LEAST_DETAIL * coarse[lit].sum())
