"""Fields that cannot be used, and why."""

import numpy as np
import scipy

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.fields.outlines import Stars

FEWEST_CELLS = 10
# Of the lit part of a field, 0 to 255: brighter or darker, the camera has lost the cells.
_BRIGHTEST, _DARKEST = 250.0, 40.0
# The brightest and the darkest twentieth of a usable field differ at least by this share of the brightest.
_LEAST_CONTRAST = 0.05
# Median over the cells of a field. Fields of four laboratories have .73 or more, .18 or less, 9 or more and .29 to .51;
# thick films, photographs of other things and noise differ in at least one of them.
_LEAST_SCORE, _LARGEST_SPREAD, _LEAST_CELL_CONTRAST, _SHARPEST = 0.71, 0.35, 5.0, 0.9
# A field of sharp cells blurred until their rims are a third of a radius wide has .23.
_LEAST_SHARPNESS = 0.24


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
    dark = scipy.ndimage.binary_opening(dark, iterations=2)
    parts, found = scipy.ndimage.label(dark)
    if not found:
        return np.ones(dark.shape, dtype=bool)
    framing = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    sizes = scipy.ndimage.sum_labels(dark, parts, range(found + 1))
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
    """Refuse a picture whose red cells are too few, unlike cells, too different in size, or blurred.

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
    diameters = red.diameters
    spread = float(np.median(np.abs(diameters - np.median(diameters))) / np.median(diameters))
    contrast, sharpness = _contrast_and_sharpness(red, pixels)
    if (
        np.median(red.scores) < _LEAST_SCORE
        or contrast < _LEAST_CELL_CONTRAST
        or spread > _LARGEST_SPREAD
        or sharpness > _SHARPEST
    ):
        raise FieldRefused(
            "This does not look like a thin smear: there are no round cells of similar size. Thick films and other "
            "pictures cannot be analysed.",
            reason="not_a_thin_smear",
        )
    if len(red) < FEWEST_CELLS:
        raise FieldRefused(
            f"Only {len(red)} red cells were found; at least {FEWEST_CELLS} are needed.",
            reason="too_few_cells",
        )
    if sharpness < _LEAST_SHARPNESS:
        raise FieldRefused(
            "The photograph is out of focus. Focus on the cells and take it again.", reason="out_of_focus"
        )


def _contrast_and_sharpness(red: Stars, pixels: np.ndarray) -> tuple[float, float]:
    """Median difference in brightness across the outline of a cell, and its steepness.

    The steepness is the largest difference between neighbouring pixels near the outline, as a share of the difference
    across it: about 0.4 if the edge is two or three pixels wide.
    """
    grey = scipy.ndimage.gaussian_filter(pixels.mean(axis=2, dtype=np.float32), 0.7)
    steep = np.hypot(*np.gradient(grey))
    within, beyond = (_along_outlines(grey, red, share).mean(axis=1) for share in (0.8, 1.25))
    contrast = np.abs(within - beyond)
    edge = np.max([_along_outlines(steep, red, share) for share in (0.85, 0.92, 1, 1.08, 1.15)], axis=0)
    sharpness = edge.mean(axis=1) / np.maximum(contrast, 1)
    clear = contrast > np.median(contrast) / 2
    return float(np.median(contrast)), float(np.median(sharpness[clear])) if clear.any() else 0.0


def _along_outlines(values: np.ndarray, red: Stars, share: float) -> np.ndarray:
    """Values of an image at a share of the distance from the centres to the outlines, shape (n, 32)."""
    places = (red.centres[:, None] + (red.corners - red.centres[:, None]) * share).astype(int)
    height, width = values.shape
    sampled: np.ndarray = values[
        np.clip(places[..., 1], 0, height - 1), np.clip(places[..., 0], 0, width - 1)
    ]
    return sampled
