"""A cell found in a photograph of a field: its outline, box, mask and kind."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np

from malaria_detect.core.json_io import ARRAY
from malaria_detect.fields.polygon import mask_of

RED_CELL, WHITE_CELL, PLATELET = KINDS = ("red cell", "white cell", "platelet")


@dataclass(frozen=True, eq=False)
class FoundCell:
    """A cell of a field.

    Coordinates are pixels of the raster as it is stored in the file, without its EXIF rotation; x to the right, y down.
    The pixel in column 0 and row 0 covers 0 to 1 in both directions, so its centre is at (0.5, 0.5), as in ImageJ and
    QuPath.

    Attributes
    ----------
    outline : numpy.ndarray, float32, shape (n, 2)
        Corners (x, y) of a closed polygon; the last corner is joined to the first. It lies within the picture.
        Outlines of cells of one field do not overlap.
    score : float, in [0, 1]
        How sure the finder is that this is a cell.
    kind : str
        ``red cell``, ``white cell`` or ``platelet``.
    on_edge : bool
        Whether the cell touches the frame of the picture or the rim of the eyepiece, so that part of it can be missing.

    Examples
    --------
    >>> square = FoundCell(np.array([[2, 3], [6, 3], [6, 8], [2, 8]], np.float32), 0.9, RED_CELL, False)
    >>> square.box, square.area, square.mask.shape, bool(square.mask.all())
    ((2, 3, 4, 5), 20.0, (5, 4), True)
    """

    outline: Annotated[np.ndarray, ARRAY]
    score: float
    kind: str
    on_edge: bool

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height in px of the smallest box of whole pixels around the outline."""
        left, top = np.floor(self.outline.min(axis=0)).astype(int)
        right, bottom = np.ceil(self.outline.max(axis=0)).astype(int)
        return int(left), int(top), max(1, int(right - left)), max(1, int(bottom - top))

    @cached_property
    def area(self) -> float:
        """Area within the outline in square px (shoelace formula)."""
        x, y = self.outline.astype(np.float64).T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

    @property
    def centre(self) -> tuple[float, float]:
        """Mean of the corners of the outline, x and y in px."""
        x, y = self.outline.mean(axis=0)
        return float(x), float(y)

    @property
    def mask(self) -> np.ndarray:
        """Pixels of the cell within its box, bool, shape (height, width): those whose centre is within the outline."""
        left, top, width, height = self.box
        return mask_of(self.outline - (left, top), (height, width))
