"""Looking at the cells: a class on the whole, one cell in several ways."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data import statistics
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.stain import cell_mask
from malaria_detect.data.statistics import cell_views, survey
from tests.drawn import draw_cell


def test_survey_sums_up_each_class_as_all_its_cells_at_once_would(
    drawn_cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_BATCH", 7)
    cells = find_cells(drawn_cells).cells
    done: list[int] = []
    found = survey(cells, side=32, progress=done.append)
    assert (list(found), sum(done)) == (list(CLASSES), len(cells))
    for label, of_class in found.items():
        images = [read_image(cell.path) for cell in cells if cell.label == label]
        stack = np.array([pad_to_square(image, 32) for image in images]) / 255
        assert of_class.mean == pytest.approx(stack.mean(axis=0))
        assert of_class.std == pytest.approx(stack.std(axis=0), abs=1e-6)
        assert of_class.sides.tolist() == [max(image.size) for image in images]
        first = np.asarray(images[0])
        assert of_class.colours[0] == pytest.approx(first[cell_mask(first)].mean(axis=0))


def test_survey_takes_a_single_picture(tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "grey.png")
    (found,) = survey([Cell(tmp_path / "grey.png", "Uninfected", "P1")], side=16).values()
    assert np.ptp(found.colours) == 0
    assert not found.std.any()


def test_cell_views_are_pictures_of_the_same_cell() -> None:
    cell = draw_cell(np.random.default_rng(2), parasitized=True)
    pixels = np.asarray(cell)
    seen = cell_views(cell)
    assert list(seen) == ["RGB", "hue", "saturation", "value", "blurred", "edges"]
    for picture in seen.values():
        assert (picture.dtype, picture.shape) == (np.uint8, pixels.shape)
        assert not picture[~cell_mask(pixels)].any()
    assert np.array_equal(seen["RGB"], pixels)
    assert np.array_equal(seen["value"][..., 0], pixels.max(axis=2))
    # Hue at full strength: the brightest channel is full, the darkest is empty.
    inside = seen["hue"][cell_mask(pixels)]
    assert (inside.max(axis=1) == 255).all()
    assert (inside.min(axis=1) == 0).all()


def test_edges_are_those_in_the_cell_and_not_its_outline() -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[10:50, 10:50] = (200, 150, 160)
    pixels[28:34, 28:34] = (120, 40, 130)
    edges = cell_views(Image.fromarray(pixels))["edges"]
    assert edges[24:38, 24:38].max() == 255
    edges[24:38, 24:38] = 0
    assert not edges.any()
    for colour in ("black", "white"):
        assert not cell_views(Image.new("RGB", (30, 20), colour))["edges"].any()
