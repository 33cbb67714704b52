"""Cells cut out of a field, as the classifier was trained on them: masked tightly, on black."""

import numpy as np
from PIL import Image

from malaria_detect.fields.cell import FoundCell


def cut_cell(pixels: np.ndarray, cell: FoundCell) -> Image.Image:
    """A cell on black; ``pixels`` is the field, uint8 of shape (height, width, 3)."""
    left, top, width, height = cell.box
    part = pixels[top : top + height, left : left + width]
    return Image.fromarray(np.where(cell.mask[..., None], part, 0).astype(np.uint8))
