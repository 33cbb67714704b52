"""Parts of synthetic fields: cells cut out of real fields, and drawn white cells, platelets and debris.

A part is what it absorbs: a synthetic field adds up the absorbance of its parts on blank smear (Beer-Lambert), so that
overlapping cells darken each other as real ones do, and any stain and camera can be put on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell

ANGLES = 64  # corners of the outline of a part
DIRECTIONS = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)


class SyntheticError(MalariaDetectError):
    """A synthetic field that cannot be made; ``reason`` is ``no_cells`` or ``setting``."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """A red cell on a square of its own, with its centroid in the middle.

    Attributes
    ----------
    picture : PIL.Image.Image, mode RGB
        Transmittance of the cell relative to its brightest part, 0 to 255; 255 outside.
    radii : numpy.ndarray, float, shape (64,)
        Distance of the outline from the middle in the `DIRECTIONS`, in half sides of the square.
    """

    picture: Image.Image
    radii: np.ndarray


def cut_out(pixels: np.ndarray, side: int) -> CutOut | None:
    """A cell on black, as NLM publishes it, as a part of synthetic fields.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
        Black outside of the cell.
    side : int
        Side of the square in px.

    Returns
    -------
    CutOut or None
        None if the cell is too small or too ragged to be the model of a cell.
    """
    parts, found = scipy.ndimage.label(pixels.max(axis=2) > 8)
    if not found:
        return None
    largest = 1 + int(np.argmax(scipy.ndimage.sum_labels(np.ones_like(parts), parts, range(1, found + 1))))
    mask = scipy.ndimage.binary_fill_holes(parts == largest)
    rows, columns = np.nonzero(mask)
    if len(rows) < 600:
        return None
    centre_y, centre_x = rows.mean(), columns.mean()
    reach = float(np.hypot(rows - centre_y, columns - centre_x).max()) + 1.5
    radii = _radii(mask, centre_x, centre_y, reach)
    # A shape that is not star-shaped around its centroid loses or gains area here.
    area = 0.5 * np.sin(2 * np.pi / ANGLES) * float(np.sum(radii * np.roll(radii, 1)))
    if not 0.93 < area / len(rows) < 1.08:
        return None
    inner = scipy.ndimage.binary_erosion(mask, iterations=3)
    brightest = np.maximum(np.percentile(pixels[inner], 97, axis=0), 40)
    relative = np.clip(pixels / brightest, 0, 1) * 255
    picture = np.where(mask[..., None], relative, 255).astype(np.uint8)
    scale = 2 * reach / side
    corner = centre_x + 0.5 - reach, centre_y + 0.5 - reach
    square = Image.fromarray(picture).transform(
        (2 * side, 2 * side),
        Image.Transform.AFFINE,
        (scale / 2, 0, corner[0], 0, scale / 2, corner[1]),
        Image.Resampling.BILINEAR,
        fillcolor=(255, 255, 255),
    )
    return CutOut(square.reduce(2), radii / reach)


def _radii(mask: np.ndarray, centre_x: float, centre_y: float, reach: float) -> np.ndarray:
    """Distance in px at which a ray in each of the `DIRECTIONS` last leaves the mask."""
    steps = np.arange(0, reach, 0.5)
    x = np.rint(centre_x + np.cos(DIRECTIONS)[:, None] * steps).astype(int)
    y = np.rint(centre_y + np.sin(DIRECTIONS)[:, None] * steps).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    hit = np.zeros(x.shape, dtype=bool)
    hit[inside] = mask[y[inside], x[inside]]
    last = hit.shape[1] - 1 - np.argmax(hit[:, ::-1], axis=1)
    return np.asarray(scipy.ndimage.gaussian_filter1d(steps[last] + 0.5, 1.0, mode="wrap"))


def read_cut_outs(paths: Sequence[Path], side: int = 64) -> list[CutOut]:
    """Parts from image files of cells on black; images without a usable cell are left out.

    Raises
    ------
    SyntheticError
        If no cell is left.
    """
    found = [cut for path in paths if (cut := cut_out(np.asarray(read_image(path)), side)) is not None]
    if not found:
        raise SyntheticError(
            "None of the images is a cell on black. Name a folder of NLM's cell images.", reason="no_cells"
        )
    return found


def cut_outs_of(cells: Sequence[Cell], seed: int, side: int = 64, most: int = 400) -> list[CutOut]:
    """Parts from at most `most` cells drawn at random, half of them parasitized as far as there are enough."""
    random = np.random.default_rng(seed)
    paths: list[Path] = []
    for label in CLASSES:
        of_class = [cell.path for cell in cells if cell.label == label]
        paths += [of_class[index] for index in random.permutation(len(of_class))[: most // 2]]
    return read_cut_outs(paths, side)


def blob(random: np.random.Generator, roughness: float) -> np.ndarray:
    """Radii of an irregular round shape in the `DIRECTIONS`, with mean 1."""
    waves = np.arange(2, 9)
    phases = random.uniform(0, 2 * np.pi, len(waves))
    heights = random.normal(0, roughness, len(waves)) / waves
    return np.clip(
        1 + (heights[:, None] * np.cos(waves[:, None] * DIRECTIONS + phases[:, None])).sum(0), 0.3, 2
    )
