"""Cells cut out of a field so that they look like the cells on which the classifier was trained."""

import numpy as np
from PIL import Image

from malaria_detect.fields.cell import FoundCell
from malaria_detect.fields.polygon import mask_of

# The outline is moved outwards by this share of its distance from the centre. Chosen on known cells of NLM's fields:
# `python -m benchmarks.crops` compares the answers for our cut-outs with those for NLM's.
MARGIN = 0.08


def cut_cell(pixels: np.ndarray, cell: FoundCell) -> Image.Image:
    """A cell on black, cropped to its outline with a small margin.

    Parameters
    ----------
    pixels : numpy.ndarray, uint8, shape (height, width, 3)
        The field in which the cell was found.
    cell : FoundCell

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Examples
    --------
    >>> square = FoundCell(
    ...     np.array([[20, 30], [60, 30], [60, 80], [20, 80]], np.float32), 0.9, "red cell", False
    ... )
    >>> cut_cell(np.full((100, 100, 3), 200, np.uint8), square).size
    (44, 54)
    """
    outline = cell.outline + MARGIN * (cell.outline - np.array(cell.centre, np.float32))
    height, width = pixels.shape[:2]
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int), (width, height))
    mask = mask_of(outline - (left, top), (bottom - top, right - left))
    return Image.fromarray(pixels[top:bottom, left:right] * mask[..., None])
