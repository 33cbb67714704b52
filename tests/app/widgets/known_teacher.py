"""A teacher of a network of one layer, for pictures whose red the model reads and whose blue is the truth."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import SiteCells
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.prediction import Prediction
from malaria_detect.training.teach import Teacher
from tests.app.widgets.fakes import METADATA, BrightnessDetector, png_of
from tests.inference.known_sites import FEATURES, adaptation

ARCHIVE = b"an adapted model"


class KnownTeacher(Teacher):
    """Learns that blue cells are parasitized, which its model does not know."""

    def __init__(self) -> None:
        self.parent: Any = BrightnessDetector(METADATA)
        self.adaptation = adaptation()

    def look(self, cell: bytes) -> tuple[Prediction, NDArray[np.float32]]:
        answer = self.parent.predict(cell)
        features = np.zeros((1, FEATURES), np.float32)
        red, _, blue = np.asarray(Image.open(io.BytesIO(cell)), float).mean(axis=(0, 1)) / 255
        features[0, :2] = 2 * red - 1, 4 * blue - 2
        return answer, features

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
