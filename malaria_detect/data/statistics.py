"""Statistics of each class of cells, and several views of one cell, as arrays for `malaria_detect.plots`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy
from PIL import Image

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.preprocessing import pad_to_square, preprocess
from malaria_detect.data.stain import cell_mask

# Images in memory at the same time.
_BATCH = 256


@dataclass(frozen=True)
class ClassSurvey:
    """Sizes, colours and mean image of the cells of one class.

    Attributes
    ----------
    sides : array of int, shape (cells,)
        Longer side of each image in px.
    colours : array of float, shape (cells, 3)
        Mean red, green and blue of each cell without the black around it, 0 to 255.
    mean, std : array of float, shape (side, side, 3)
        Of each pixel (0 to 1) over the cells, which are padded and scaled as for the network.
    """

    sides: np.ndarray
    colours: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def survey(
    cells: Sequence[Cell], side: int = 96, progress: Callable[[int], object] | None = None
) -> dict[str, ClassSurvey]:
    """Statistics of each class; each cell is read once, in batches.

    Parameters
    ----------
    cells : sequence of Cell
        Readable cells, see :func:`malaria_detect.data.cell_check.check_cells`; results are in their order.
    side : int
        Side of the mean image in px.
    progress : callable, optional
        Called after each batch with the number of its cells.
    """
    return {
        label: _survey_class([cell for cell in cells if cell.label == label], side, progress)
        for label in sorted({cell.label for cell in cells})
    }


def cell_views(image: Image.Image, sigma: float = 2.0) -> dict[str, np.ndarray]:
    """Views of one cell: RGB, hue, saturation, value, blurred, and edges.

    Each is uint8, (height, width, 3), for an RGB image, and black around the cell. The blur has a sigma in px. Hue is
    shown as the full colour of that hue, saturation and value as grey. Edges are the Sobel gradient of the mean of the
    channels, scaled to white, without the outline where the cell was cut out.

    Examples
    --------
    >>> ", ".join(cell_views(Image.new("RGB", (30, 20), "pink")))
    'RGB, hue, saturation, value, blurred, edges'
    """
    pixels = np.asarray(image)
    cell = cell_mask(pixels)
    hue, saturation, value = np.moveaxis(np.asarray(preprocess(image, ["hsv"])), 2, 0)
    full = np.where(cell, 255, 0).astype(np.uint8)
    wheel = np.asarray(Image.fromarray(np.dstack([hue, full, full]), mode="HSV").convert("RGB"))
    return {
        "RGB": pixels,
        "hue": wheel,
        "saturation": _grey(saturation),
        "value": _grey(value),
        "blurred": np.asarray(preprocess(image, [f"blur:{sigma:g}"])),
        "edges": _grey(_edges(pixels, cell)),
    }


def _survey_class(cells: Sequence[Cell], side: int, progress: Callable[[int], object] | None) -> ClassSurvey:
    total, squared = np.zeros((2, side, side, 3))
    sides, colours = [], []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(cells), _BATCH):
            batch = cells[start : start + _BATCH]
            for longer, colour, padded in pool.map(lambda cell: _measured(cell, side), batch):
                sides.append(longer)
                colours.append(colour)
                total += padded
                squared += padded**2
            if progress is not None:
                progress(len(batch))
    mean = total / len(cells)
    # Rounding can make a variance of zero negative.
    std = np.sqrt(np.maximum(squared / len(cells) - mean**2, 0))
    return ClassSurvey(np.array(sides), np.array(colours), mean, std)


def _measured(cell: Cell, side: int) -> tuple[int, np.ndarray, np.ndarray]:
    image = read_image(cell.path)
    pixels = np.asarray(image)
    inside = pixels[cell_mask(pixels)]
    colour = inside.mean(axis=0) if len(inside) else np.zeros(3)
    return max(image.size), colour, pad_to_square(image, side) / 255


def _edges(pixels: np.ndarray, cell: np.ndarray) -> np.ndarray:
    grey = pixels.mean(axis=2)
    if not cell.any():
        return np.zeros(cell.shape, np.uint8)
    # The step from the cell to the black around it would be the strongest.
    inside = scipy.ndimage.binary_erosion(cell, iterations=2)
    steep = np.where(inside, np.hypot(scipy.ndimage.sobel(grey, 0), scipy.ndimage.sobel(grey, 1)), 0)
    scaled: np.ndarray = np.rint(255 * steep / max(steep.max(), 1)).astype(np.uint8)
    return scaled


def _grey(channel: np.ndarray) -> np.ndarray:
    return np.repeat(channel[..., None], 3, axis=2)
