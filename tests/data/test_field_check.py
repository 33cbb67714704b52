"""Fields that are taken for single cells."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.filters import threshold_otsu

from malaria_detect.data.field_check import otsu_threshold, shows_field
from malaria_detect.data.images import ImageRefused, read_field, read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.detector import Detector
from tests.drawn_fields import Drawn, drawn_field
from tests.known_finder import FEW
from tests.refused import refused


@pytest.mark.parametrize(
    "drawn", [Drawn(), Drawn(diameter=120, size=(1280, 960)), Drawn(cells=60, diameter=30)]
)
def test_drawn_fields_are_recognised(drawn: Drawn) -> None:
    assert shows_field(Image.fromarray(drawn_field(2, drawn)[0]))


def test_single_cells_are_no_fields_even_if_they_are_enlarged(sample_cells: Path) -> None:
    cells = [read_image(cell.path) for cell in find_cells(sample_cells).cells[::5]]
    assert not any(map(shows_field, cells))
    enlarged = [
        cell.resize((1200, 1200 * cell.height // cell.width), Image.Resampling.NEAREST) for cell in cells
    ]
    assert not any(map(shows_field, enlarged))


def test_a_field_is_not_classified_as_a_cell(detector: Detector) -> None:
    with refused(ImageRefused, "whole_field", naming="malaria-detect field"):
        detector.predict(drawn_field(2)[0])
    # No larger than a single cell, it may be one, until the network sees that it is none.
    with refused(ImageRefused, "foreign"):
        detector.predict(drawn_field(2, FEW)[0])


def test_a_photograph_too_large_for_a_cell_is_read_as_a_field(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    pixels = np.kron(drawn_field(2)[0], np.ones((6, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(pixels).save(path, exif=exif)
    with refused(ImageRefused, "too_large", naming="malaria-detect field"):
        read_image(path)
    # As the raster is stored, without the orientation.
    assert read_field(path).size == (5120, 2880)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"0" * (40 * 2**20 + 1), "too_large"),
        (np.broadcast_to(np.uint8(9), (10_000, 10_000)), "too_large"),
        (np.full((1, 1, 3), 9, np.uint8), "too_small"),
        (b"", "empty"),
    ],
)
def test_fields_have_limits_of_their_own(picture: bytes | np.ndarray, reason: str) -> None:
    with refused(ImageRefused, reason):
        read_field(picture)


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_that_of_scikit_image(seed: int) -> None:
    random = np.random.default_rng(seed)
    dark, bright = random.integers(40, 120, 900), random.integers(100, 256, 3000)
    values = np.concatenate([dark, bright]).astype(float)
    assert otsu_threshold(values) == threshold_otsu(values)
