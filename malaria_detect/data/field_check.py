"""Whether a picture that should show one cell shows a whole field.

References
----------
.. [1] N. Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62-66: the threshold with the largest variance between classes.
"""

import numpy as np
import scipy
from PIL import Image

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
    stained = scipy.ndimage.binary_opening(lit & (green < otsu_threshold(green[lit])))
    contrast = green[lit & ~stained].mean() - green[stained].mean() if stained.any() else 0.0
    edges = sum(
        np.count_nonzero(np.diff(stained.astype(np.int8), axis=axis) > 0) / stained.shape[1 - axis]
        for axis in (0, 1)
    )
    return bool(edges / 2 * contrast >= _MIN_CROSSED)


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Threshold that separates values into two classes, the centre of a bin of their histogram [1]_.

    Examples
    --------
    >>> round(otsu_threshold(np.array([10.0, 11.0, 12.0, 90.0, 91.0, 92.0])))
    12
    """
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    cells, sums = np.cumsum(counts), np.cumsum(counts * centres)
    low, high = cells[:-1], cells[-1] - cells[:-1]  # neither is 0: the outer bins have values
    means = sums[:-1] / low, (sums[-1] - sums[:-1]) / high
    return float(centres[np.argmax(low * high * (means[0] - means[1]) ** 2)])
