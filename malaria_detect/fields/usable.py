"""Fields that cannot be used, and why."""

import numpy as np
from scipy import ndimage

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.fields.outlines import Stars

FEWEST_CELLS = 10
# Of the lit part of a field, 0 to 255: brighter or darker, the camera has lost the cells.
_BRIGHTEST, _DARKEST = 250.0, 40.0
# The brightest and the darkest twentieth of a usable field differ at least by this share of the brightest.
_LEAST_CONTRAST = 0.05


class FieldRefused(MalariaDetectError):  # noqa: N818 - a refusal is a proper answer, not a fault
    """A picture that cannot be analysed as a field of a thin smear.

    The ``reason`` is ``overexposed``, ``underexposed``, ``out_of_focus``, ``no_cells``, ``too_few_cells`` or
    ``not_a_thin_smear``.
    """


def lit_area(pixels: np.ndarray) -> np.ndarray:
    """The part of a picture that the eyepiece shows, bool, shape (height, width).

    The black surroundings of a round view touch the frame; dark cells do not make them larger.
    """
    dark = pixels.max(axis=2) < 24
    dark = ndimage.binary_opening(dark, iterations=2)
    parts, found = ndimage.label(dark)
    if not found:
        return np.ones(dark.shape, dtype=bool)
    framing = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    sizes = ndimage.sum_labels(dark, parts, range(found + 1))
    outside = [part for part in framing if part and sizes[part] > 0.005 * dark.size]
    return ~np.isin(parts, outside)


def check_exposure(pixels: np.ndarray, lit: np.ndarray) -> None:
    """Refuse a picture that is too dark, too bright or without contrast; arrays as in :func:`lit_area`."""
    brightness = pixels[lit].mean(axis=1) if lit.any() else np.zeros(1)
    dark, middle, bright = np.percentile(brightness, (5, 50, 95))
    if bright < _DARKEST:
        raise FieldRefused(
            "The photograph is too dark to find cells. Increase the light or the exposure time.",
            reason="underexposed",
        )
    if middle > _BRIGHTEST:
        raise FieldRefused(
            "The photograph is overexposed: most of it is white. Reduce the light or the exposure time.",
            reason="overexposed",
        )
    if bright - dark < _LEAST_CONTRAST * bright:
        raise FieldRefused(
            "The photograph shows no cells: it has the same brightness everywhere.", reason="no_cells"
        )


def check_cells(red: Stars, pixels: np.ndarray) -> None:
    """Refuse a picture whose red cells are too few, too different or blurred.

    Parameters
    ----------
    red : Stars
        Its red cells in px of `pixels`.
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
        The picture at the scale at which cells are found.
    """
    if not len(red):
        raise FieldRefused(
            "No red cells were found. Upload a photograph of a stained thin smear.", reason="no_cells"
        )
    if len(red) < FEWEST_CELLS:
        raise FieldRefused(
            f"Only {len(red)} red cells were found; at least {FEWEST_CELLS} are needed.",
            reason="too_few_cells",
        )
