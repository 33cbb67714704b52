"""A teacher of a network of one layer, for pictures whose red the model reads and whose blue is the truth."""

from typing import Any

import numpy as np

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import SiteCells
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.teach import CellFeatures, Teacher
from tests.app.widgets.fakes import METADATA, BrightnessDetector, png_of
from tests.inference.known_sites import FEATURES, adaptation

ARCHIVE = b"an adapted model"


class KnownTeacher(Teacher):
    """Learns that blue cells are parasitized, which its model does not know."""

    def __init__(self) -> None:
        self.parent: Any = BrightnessDetector(METADATA)
        self.adaptation = adaptation()

    def features_of(self, picture: bytes) -> CellFeatures:
        found = np.zeros((1, FEATURES), np.float32)
        red, _, blue = np.asarray(read_image(picture), float).mean(axis=(0, 1)) / 255
        found[0, :2] = 2 * red - 1, 16 * blue - 8
        return CellFeatures(found, red)

    def pack(self, cells: SiteCells, judgement: Judgement) -> bytes:
        return ARCHIVE

    def detector(self, adapted: Adapted) -> Any:
        return BrightnessDetector(adapted.metadata)


def cell_png(number: int, label: str) -> bytes:
    """The picture of a cell: parasitized ones are blue, and the model takes every third cell for the other class."""
    parasitized = label == CLASSES[0]
    red = 200 if parasitized == bool(number % 3) else 50
    blue = 220 - number if parasitized else 20 + number
    pixels = np.full((60, 60, 3), (red + number, 0, blue), np.uint8)
    pixels[..., 1] = np.arange(0, 240, 4)  # an even picture is refused as blank
    return png_of(pixels)
