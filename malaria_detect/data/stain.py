"""Stain normalisation of single cells: their colours brought to those of the training cells.

Smears differ in stain, light and camera from patient to patient. Two methods of histology take that out, here through
torchstain's NumPy code, from the cell's own pixels:

- Reinhard [1]_ moves mean and standard deviation of lightness and of two colour axes (CIELAB) to given ones.
- Macenko [2]_ finds two stains as directions of optical density, and replaces them and their strength by given ones.

Both were made for large pieces of tissue. Of a single cell they know little: the parasite itself is part of the
statistics, and an uninfected cell hardly shows the second stain. Where a cell tells too little (a few pixels, one even
colour, two stains that point the same way) it stays as it is.

What cells are brought to stands in ``stain_targets.json``: numbers measured on the cells of training patients only, by
``python -m malaria_detect.data.stain CELLS``. They are the training patients of one seed: under another seed, or in a
cross-validation, some held-out patients gave to the targets, too.

References
----------
.. [1] Reinhard, Ashikhmin, Gooch and Shirley 2001, Color transfer between images, IEEE CG&A 21(5):34-41.
.. [2] Macenko et al. 2009, A method for normalizing histology slides for quantitative analysis, ISBI 2009:1107-1110.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json, to_json
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.data.splits import grouped_split

TARGETS_FILE = Path(__file__).with_name("stain_targets.json")
CELLS_PER_PATIENT = 40

# The cells' own pixels are above 40 in their brightest channel and the black around them is 0, in a JPEG copy a little
# more.
BLACK = 10
MIN_PIXELS = 100
# Standard deviation in CIELAB: that of real cells begins at about 0.3, that of one even colour is 0.
MIN_SPREAD = 0.1
# Between two stains, in degrees: below it noise decides how much there is of each.
MIN_ANGLE = 3.0
MIN_STRENGTH = 0.05

# The crops hold no empty field to read the light from, so that it is the camera's white; and no pixel of a cell counts
# as empty glass, as most of a pale one would with torchstain's own 240 and 0.15.
_LIGHT: dict[str, Any] = {"Io": 256, "beta": 0.0}


@dataclass(frozen=True)
class StainTargets:
    """What stain normalisation brings cells to, and where the numbers come from.

    Attributes
    ----------
    lab_mean, lab_std : tuple of float, three each
        Mean and standard deviation within a cell of CIELAB's L (0 to 100), a and b.
    stains : tuple of tuple of float, two times three
        Optical density of the two stains in red, green and blue, of length 1; the first takes more red.
    strength : tuple of float, two
        99th percentile of the amount of each stain.
    stain_patient : str
        The patient group whose parasitized cells gave stains and strength.
    cells, patients : int
        How many they were measured on.
    seed : int
        Of the split whose training side they are from.
    names_sha256 : str
        Over the file names of these cells, one a line.
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
    """The targets that come with the package."""
    return from_json(StainTargets, json.loads(TARGETS_FILE.read_text(encoding="utf-8")))


def cell_mask(pixels: np.ndarray) -> np.ndarray:
    """Where a picture shows something, and not the black around a cell.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (height, width, 3), RGB.

    Returns
    -------
    numpy.ndarray
        bool, (height, width).

    Examples
    --------
    >>> cell_mask(np.array([[[0, 0, 0], [3, 2, 1], [200, 150, 160]]], dtype=np.uint8)).tolist()
    [[False, False, True]]
    """
    found: np.ndarray = pixels.max(axis=2) > BLACK
    return found


def reinhard(colours: np.ndarray) -> np.ndarray:
    """Colours of a cell with the mean and standard deviation of the training cells, in CIELAB.

    Parameters
    ----------
    colours : numpy.ndarray
        uint8, (pixels, 3), RGB: those of the cell, without the black around it.

    Returns
    -------
    numpy.ndarray
        uint8, (pixels, 3). The same array where it has less than `MIN_PIXELS`, or no spread.
    """
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    statistics = _lab_statistics(colours)
    if statistics is None:
        return colours
    targets = stain_targets()
    normalizer = NumpyReinhardNormalizer()
    normalizer.target_means, normalizer.target_stds = targets.lab_mean, targets.lab_std
    normalized: np.ndarray = normalizer.normalize(colours[None])[0]
    return normalized


def macenko(colours: np.ndarray) -> np.ndarray:
    """Colours of a cell with its two stains and their strength replaced by those of the training cells.

    Parameters
    ----------
    colours : numpy.ndarray
        uint8, (pixels, 3), RGB: those of the cell, without the black around it.

    Returns
    -------
    numpy.ndarray
        uint8, (pixels, 3). The same array where it has less than `MIN_PIXELS`, or no two stains can be told apart.
    """
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    if _stains(colours) is None:
        return colours
    targets = stain_targets()
    normalizer = NumpyMacenkoNormalizer()
    normalizer.HERef, normalizer.maxCRef = np.array(targets.stains).T, np.array(targets.strength)
    # Far outside the two stains light can grow beyond any number; it is cut off at white.
    with np.errstate(over="ignore"):
        normalized: np.ndarray = normalizer.normalize(colours[None], **_LIGHT, stains=False)[0][0]
    return normalized


def measure_targets(cells: Sequence[Cell], seed: int) -> StainTargets:
    """Measure what stain normalisation shall bring cells to.

    At most `CELLS_PER_PATIENT` cells of each patient are drawn. Lightness and colours are the means over patients of
    their cells' medians. The stains are those of the parasitized cells of one patient, taken together as one picture:
    of the infected patient whose lightness and colours lie in the middle (the least sum of distances to the others).
    Averaged over patients, two stains would lie closer together than they do in any smear.

    Parameters
    ----------
    cells : sequence of Cell
        Of training patients, see :func:`malaria_detect.data.splits.grouped_split`.
    seed : int
        Draws a patient's cells, and is noted.

    Raises
    ------
    MalariaDetectError
        Where there is no parasitized cell, or those in the middle do not show two stains.
    """
    random = np.random.default_rng(seed)
    of_patients: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.path.name):
        of_patients.setdefault(cell.group, []).append(cell)
    names: list[str] = []
    labs: dict[str, np.ndarray] = {}
    infected: dict[str, list[np.ndarray]] = {}
    for group, of_patient in sorted(of_patients.items()):
        of_one = []
        for index in random.permutation(len(of_patient))[:CELLS_PER_PATIENT]:
            cell = of_patient[index]
            pixels = np.asarray(read_image(cell.path))
            colours = pixels[cell_mask(pixels)]
            statistics = _lab_statistics(colours)
            if statistics is not None:
                names.append(cell.path.name)
                of_one.append(statistics)
                if cell.label == CLASSES[0]:
                    infected.setdefault(group, []).append(colours)
        if of_one:
            labs[group] = np.median(of_one, axis=0)
    candidates = list(infected)
    middle = stains = None
    if candidates:
        points = np.array([labs[group][0] for group in candidates])
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        middle = candidates[distances.sum(axis=1).argmin()]
        stains = _stains(np.concatenate(infected[middle]))
    if middle is None or stains is None:
        raise MalariaDetectError(
            "No parasitized cells show two stains; wanted are cells of training patients."
        )
    mean, spread = np.mean(list(labs.values()), axis=0)
    listed = "".join(f"{name}\n" for name in sorted(names))
    return StainTargets(
        lab_mean=_three(mean),
        lab_std=_three(spread),
        stains=(_three(stains[0][:, 0]), _three(stains[0][:, 1])),
        strength=(round(float(stains[1][0]), 4), round(float(stains[1][1]), 4)),
        stain_patient=middle,
        cells=len(names),
        patients=len(labs),
        seed=seed,
        names_sha256=hashlib.sha256(listed.encode()).hexdigest(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the targets on the training side of the recipe's split and write `TARGETS_FILE`."""
    # Settings check names of preprocessings, and so need this file.
    from malaria_detect.training.settings import TrainSettings

    parser = argparse.ArgumentParser(prog="python -m malaria_detect.data.stain", description=main.__doc__)
    parser.add_argument("cells", nargs="?", help="folder of the cells in NLM's layout")
    settings = TrainSettings()
    try:
        cells = find_cells(parser.parse_args(arguments).cells).cells
        split = grouped_split(cells, settings.valid, settings.test, settings.seed)
        targets = measure_targets([cells[index] for index in split.train], settings.seed)
    except MalariaDetectError as error:
        print(error, file=sys.stderr)
        return 2
    TARGETS_FILE.write_text(to_json(targets), encoding="utf-8")
    print(f"{TARGETS_FILE.name}: {targets.cells:,} cells of {targets.patients:,} training patients")
    return 0


def _three(numbers: np.ndarray) -> tuple[float, float, float]:
    first, second, third = (round(float(number), 4) for number in numbers)
    return first, second, third


def _lab_statistics(colours: np.ndarray) -> np.ndarray | None:
    """Mean and standard deviation in CIELAB, (2, 3), or nothing where they tell too little."""
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    if len(colours) < MIN_PIXELS:
        return None
    normalizer = NumpyReinhardNormalizer()
    normalizer.fit(colours[None])
    statistics = np.array([normalizer.target_means, normalizer.target_stds], dtype=float)
    return statistics if statistics[1].min() >= MIN_SPREAD else None


def _stains(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Two stains as columns, (3, 2), and their strength, (2,), or nothing where they cannot be told apart."""
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    if len(colours) < MIN_PIXELS:
        return None
    normalizer = NumpyMacenkoNormalizer()
    try:
        normalizer.fit(colours[None], **_LIGHT)
    except np.linalg.LinAlgError:
        return None
    stains, strength = normalizer.HERef, normalizer.maxCRef
    # A stain only takes light away; the sign of an eigenvector can turn the directions round.
    plausible = np.isfinite(stains).all() and stains.min() >= 0 and strength.min() >= MIN_STRENGTH
    if not plausible or stains[:, 0] @ stains[:, 1] > np.cos(np.radians(MIN_ANGLE)):
        return None
    return stains, strength


if __name__ == "__main__":
    sys.exit(main())
