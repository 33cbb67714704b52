"""Looking at the cells: what a class looks like on the whole, and one cell seen in several ways. Arrays for `plots`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, sobel

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.preprocessing import pad_to_square, preprocess
from malaria_detect.data.stain import cell_mask

# Pictures that lie in memory at the same time.
_BATCH = 256


@dataclass(frozen=True)
class ClassSurvey:
    """What the cells of one class look like on the whole.

    Attributes
    ----------
    sides : numpy.ndarray
        int, (cells,): longer side of each picture in px.
    colours : numpy.ndarray
        float, (cells, 3): mean red, green and blue of each cell without the black around it, 0 to 255.
    mean, std : numpy.ndarray
        float, (side, side, 3), 0 to 1: mean and standard deviation of each pixel over the cells, each cell padded with
        black and scaled as for the network.
    """

    sides: np.ndarray
    colours: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def survey(
    cells: Sequence[Cell], side: int = 96, progress: Callable[[int], object] | None = None
) -> dict[str, ClassSurvey]:
    """Read every cell once and sum up each class; needs no more memory for many cells than for few.

    Parameters
    ----------
    cells : sequence of Cell
        Readable ones (see :func:`malaria_detect.data.nlm_cells.check_cells`). Results are in their order.
    side : int
        Of the mean picture in px.
    progress : callable, optional
        Called with the number of cells that were read, batch by batch.

    Returns
    -------
    dict of class name to ClassSurvey
        For the classes that `cells` hold, by name.
    """
    found = {}
    for label in sorted({cell.label for cell in cells}):
        of_class = [cell for cell in cells if cell.label == label]
        found[label] = _survey_class(of_class, side, progress)
    return found


def cell_views(image: Image.Image, sigma: float = 2.0) -> dict[str, np.ndarray]:
    """One cell as it is, by hue, saturation and value, blurred, and by its edges.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, as :func:`malaria_detect.data.images.read_image` gives it.
    sigma : float
        Of the blur, in px.

    Returns
    -------
    dict of str to numpy.ndarray
        uint8, (height, width, 3) each, black around the cell. Hue stands as the full colour of that hue, saturation and
        value as grey. Edges are the Sobel gradient of the mean of the channels, the steepest one white; the outline of
        the cell itself is none, for it was cut out.

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
    total = np.zeros((side, side, 3))
    squared = np.zeros((side, side, 3))
    sides, colours = [], []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(cells), _BATCH):
            batch = cells[start : start + _BATCH]
            for longer, colour, picture in pool.map(lambda cell: _seen(cell, side), batch):
                sides.append(longer)
                colours.append(colour)
                total += picture
                squared += picture**2
            if progress is not None:
                progress(len(batch))
    mean = total / len(cells)
    # Rounding can bring a variance of zero below it.
    std = np.sqrt(np.maximum(squared / len(cells) - mean**2, 0))
    return ClassSurvey(np.array(sides), np.array(colours), mean, std)


def _seen(cell: Cell, side: int) -> tuple[int, np.ndarray, np.ndarray]:
    image = read_image(cell.path)
    pixels = np.asarray(image)
    inside = pixels[cell_mask(pixels)]
    colour = inside.mean(axis=0) if len(inside) else np.zeros(3)
    return max(image.size), colour, pad_to_square(image, side) / 255


def _edges(pixels: np.ndarray, cell: np.ndarray) -> np.ndarray:
    grey = pixels.mean(axis=2)
    if not cell.any():
        return np.zeros(cell.shape, np.uint8)
    # The step from the cell to the black around it would outshine all others.
    inside = binary_erosion(cell, iterations=2)
    steep = np.where(inside, np.hypot(sobel(grey, 0), sobel(grey, 1)), 0)
    scaled: np.ndarray = np.rint(255 * steep / max(steep.max(), 1)).astype(np.uint8)
    return scaled


def _grey(channel: np.ndarray) -> np.ndarray:
    return np.repeat(channel[..., None], 3, axis=2)
