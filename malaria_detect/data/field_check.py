"""Whether a picture that should show one cell shows a whole field."""

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from malaria_detect.data.image_checks import TRAINED_SIDES

WHOLE_FIELD = (
    "This image shows a whole field, not one cell. Analyse it as a field: with "
    "`malaria-detect field`, or on the page with “Analyse a slide”."
)

# Px: cells of a field are still apart.
_SIDE = 192
# Of 255: black around an eyepiece's view, or around a cell.
_BLACK = 40
# Levels of green, from background to cells and summed over all cells that a row or column crosses. 276 fields of four
# laboratories have 113 or more; of 22,609 single cells, 0.1 % have more than 100, and none of them is large.
_MIN_CROSSED = 100


def shows_field(image: Image.Image) -> bool:
    """Whether an RGB image clearly shows a field: larger than the training cells, with many stained things apart.

    Examples
    --------
    >>> shows_field(Image.linear_gradient("L").resize((1280, 960)).convert("RGB"))
    False
    """
    if max(image.size) <= TRAINED_SIDES[1]:
        return False
    pixels = np.asarray(image.reduce(max(1, max(image.size) // _SIDE)))
    lit = pixels.max(axis=2) > _BLACK
    green = pixels[..., 1].astype(np.float64)
    if not np.ptp(green[lit]):
        return False
    # Opened, because the texture of a single cell is no thing apart.
    stained = ndimage.binary_opening(lit & (green < threshold_otsu(green[lit])))
    contrast = green[lit & ~stained].mean() - green[stained].mean() if stained.any() else 0.0
    edges = sum(
        np.count_nonzero(np.diff(stained.astype(np.int8), axis=axis) > 0) / stained.shape[1 - axis]
        for axis in (0, 1)
    )
    return bool(edges / 2 * contrast >= _MIN_CROSSED)
