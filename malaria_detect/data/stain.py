"""Stain normalisation of single cells: their colours become those of the training cells.

Smears differ in stain, light and camera. Two methods from histology remove that, here with torchstain's NumPy code:

- Reinhard [1]_ shifts mean and standard deviation of lightness and two colour axes (CIELAB) to given values.
- Macenko [2]_ finds two stains as directions of optical density, and replaces them and their strength by given ones.

Both were made for large areas of tissue. A single cell gives them little information: the parasite itself is part of
the statistics, and an uninfected cell hardly shows the second stain. A cell that shows too little (few pixels, one even
colour, two stains with the same direction) stays unchanged.

The target values are in ``stain_targets.json``. ``tools/measure_stain_targets.py`` measured them on the training
patients of one seed: with another seed, or in a cross-validation, some held-out patients contributed to them.

References
----------
.. [1] Reinhard, Ashikhmin, Gooch and Shirley 2001, Color transfer between images, IEEE CG&A 21(5):34-41.
.. [2] Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis, ISBI 2009:1107-1110.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from malaria_detect.core.extras import from_extra
from malaria_detect.core.json_io import from_json

TARGETS_FILE = Path(__file__).with_name("stain_targets.json")

# The cells' own pixels are above 40 in their brightest channel; the black is 0, in a JPEG copy a little more.
BLACK = 10
MIN_PIXELS = 100
# Standard deviation in CIELAB: about 0.3 or more in real cells, 0 in one even colour.
MIN_SPREAD = 0.1
# Angle between two stains in degrees: below it, noise decides how much there is of each.
MIN_ANGLE = 3.0
MIN_STRENGTH = 0.05

# The crops hold no empty background, so the light is the white of the camera (256) and no pixel counts as background;
# torchstain's own 240 and 0.15 would drop most of a pale cell.
_LIGHT: dict[str, Any] = {"Io": 256, "beta": 0.0}


@dataclass(frozen=True)
class StainTargets:
    """Target values of stain normalisation, and the cells they were measured on.

    Attributes
    ----------
    lab_mean, lab_std : tuple of float
        Mean and standard deviation within a cell of CIELAB's L (0 to 100), a and b.
    stains : tuple of tuple of float
        Optical density of the two stains in red, green and blue, of length 1; the first takes more red.
    strength : tuple of float
        99th percentile of the amount of each stain.
    stain_patient : str
        The patient group whose parasitized cells gave stains and strength.
    cells, patients, seed : int
        Number of cells and patient groups measured: the training cells of the split with this seed.
    names_sha256 : str
        SHA-256 of the file names of these cells, one per line.
    """

    lab_mean: tuple[float, float, float]
    lab_std: tuple[float, float, float]
    stains: tuple[tuple[float, float, float], tuple[float, float, float]]
    strength: tuple[float, float]
    stain_patient: str
    cells: int
    patients: int
    seed: int
    names_sha256: str


@cache
def stain_targets() -> StainTargets:
    """Target values that come with the package."""
    return from_json(StainTargets, json.loads(TARGETS_FILE.read_text(encoding="utf-8")))


def cell_mask(pixels: np.ndarray) -> np.ndarray:
    """Mask of the pixels that are not the black around a cell: bool, (height, width), for uint8 RGB pixels.

    Examples
    --------
    >>> cell_mask(np.array([[[0, 0, 0], [3, 2, 1], [200, 150, 160]]], dtype=np.uint8)).tolist()
    [[False, False, True]]
    """
    found: np.ndarray = pixels.max(axis=2) > BLACK
    return found


def reinhard(colours: np.ndarray) -> np.ndarray:
    """Colours of a cell, with mean and standard deviation in CIELAB of the training cells.

    Parameters
    ----------
    colours : numpy.ndarray
        uint8, (pixels, 3), RGB: the pixels of the cell, without the black around it.

    Returns
    -------
    numpy.ndarray
        uint8, (pixels, 3). The same array if :func:`lab_statistics` are None.
    """
    if lab_statistics(colours) is None:
        return colours
    normalizer, targets = _normalizer("NumpyReinhardNormalizer"), stain_targets()
    normalizer.target_means, normalizer.target_stds = targets.lab_mean, targets.lab_std
    normalized: np.ndarray = normalizer.normalize(colours[None])[0]
    return normalized


def macenko(colours: np.ndarray) -> np.ndarray:
    """Colours of a cell, with the two stains of the training cells in their strength.

    As :func:`reinhard`; the same array if :func:`two_stains` are None.
    """
    if two_stains(colours) is None:
        return colours
    normalizer, targets = _normalizer("NumpyMacenkoNormalizer"), stain_targets()
    normalizer.HERef, normalizer.maxCRef = np.array(targets.stains).T, np.array(targets.strength)
    # Far outside of the two stains the light can overflow; torchstain clips it to white.
    with np.errstate(over="ignore"):
        normalized: np.ndarray = normalizer.normalize(colours[None], **_LIGHT, stains=False)[0][0]
    return normalized


def lab_statistics(colours: np.ndarray) -> np.ndarray | None:
    """Mean and standard deviation in CIELAB, (2, 3); None if the pixels are too few or too even."""
    if len(colours) < MIN_PIXELS:
        return None
    normalizer = _normalizer("NumpyReinhardNormalizer")
    normalizer.fit(colours[None])
    statistics = np.array([normalizer.target_means, normalizer.target_stds], dtype=float)
    return statistics if statistics[1].min() >= MIN_SPREAD else None


def two_stains(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Two stains as columns, (3, 2), and their strength, (2,); None if they cannot be separated."""
    if len(colours) < MIN_PIXELS:
        return None
    normalizer = _normalizer("NumpyMacenkoNormalizer")
    try:
        normalizer.fit(colours[None], **_LIGHT)
    except np.linalg.LinAlgError:
        return None
    stains, strength = normalizer.HERef, normalizer.maxCRef
    # A stain only absorbs light; an eigenvector can have the opposite sign.
    plausible = np.isfinite(stains).all() and stains.min() >= 0 and strength.min() >= MIN_STRENGTH
    if not plausible or stains[:, 0] @ stains[:, 1] > np.cos(np.radians(MIN_ANGLE)):
        return None
    return stains, strength


def _normalizer(name: str) -> Any:
    with from_extra("train"):
        from torchstain.numpy import normalizers
    return getattr(normalizers, name)()
