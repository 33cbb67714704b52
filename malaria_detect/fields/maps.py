"""What the cell finder's network takes and gives: pictures, and a centre map with the distances to the outline.

As in StarDist, it predicts for every fourth pixel in each direction how near the centre of a cell is, where that centre
is, how far the outline is from it in 32 directions [1]_, and the kind of the cell. Distances are those from the centre,
so all pixels of a cell predict the same outline.

References
----------
.. [1] U. Schmidt et al., Cell detection with star-convex polygons, MICCAI 2018, LNCS 11071, 265-273.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RAYS = 32
RAY_ANGLES = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
STRIDE = 4  # px of the input for one value of the output
MULTIPLE = 16  # height and width of the input are multiples of it
UNIT = 8.0  # px; distances are predicted as the logarithm of their multiple of it
DIAMETER = 32.0  # px; a field is scaled so that its red cells have it
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Maps:
    """Output of the network for a batch of N pictures, h and w being a quarter of their height and width.

    They are arrays of NumPy; while the network is trained, tensors of torch.

    Attributes
    ----------
    centre : float, shape (N, h, w)
        Log-odds of nearness to a centre, which falls from 1 at the centre of a cell to 0 at its outline.
    offset : float, shape (N, 2, h, w)
        From the middle of the pixel to the centre, x and y, in `UNIT`.
    rays : float, shape (N, 32, h, w)
        Natural logarithm of the distances from the centre to the outline in `UNIT`.
    kind : float, shape (N, 3, h, w)
        Logits of `malaria_detect.fields.cell.KINDS`.
    """

    centre: Any
    offset: Any
    rays: Any
    kind: Any


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


def network_input(pixels: np.ndarray, white: np.ndarray) -> NDArray[np.float32]:
    """A picture as the network takes it: blank smear made white, normalised, padded to multiples of 16 px.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
    white : numpy.ndarray, float32, shape (3,)
        From :func:`white_level` of the whole field.

    Returns
    -------
    numpy.ndarray, float32, shape (3, height, width), each side rounded up
    """
    height, width = pixels.shape[:2]
    padded = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
    picture = np.zeros((3, *padded), dtype=np.float32)
    for channel in range(3):
        scale = 0.9 / float(white[channel]) / _STD[channel]
        shift = -_MEAN[channel] / _STD[channel]
        picture[channel, :height, :width] = pixels[..., channel] * np.float32(scale) + np.float32(shift)
    return picture
