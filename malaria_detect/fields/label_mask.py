"""Label mask of a field: every pixel has the number of its red cell."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from malaria_detect.fields.result import FieldResult


def label_mask(result: FieldResult) -> np.ndarray:
    """Number of the red cell that each pixel belongs to, 0 elsewhere; uint16, shape (height, width).

    What a person has rejected, white cells and platelets are left out.
    """
    width, height = result.size
    labels = np.zeros((height, width), np.uint16)
    for cell in result.cells:
        if cell.is_red:
            left, top, across, down = cell.found.box
            labels[top : top + down, left : left + across][cell.found.mask] = cell.number
    return labels


def write_label_mask(file: str | Path | BinaryIO, result: FieldResult) -> None:
    """Write the label mask as a PNG file of 16 bits."""
    Image.fromarray(label_mask(result)).save(file, "PNG")
