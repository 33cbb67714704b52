"""Pictures that are too poor for a certain answer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.data.quality import BLURRED, OVEREXPOSED, quality_problems
from tests.drawn import draw_cell


@pytest.fixture(scope="module")
def cells() -> list[Image.Image]:
    return [draw_cell(np.random.default_rng(seed), parasitized=True) for seed in range(6)]


def test_cells_have_no_problems(sample_cells: Path) -> None:
    paths = [cell.path for cell in find_cells(sample_cells).cells[::4]]
    poor = sum(bool(quality_problems(read_image(path))) for path in paths)
    assert poor <= 0.01 * len(paths)


@pytest.mark.parametrize("ground", [(0, 0, 0), (230, 220, 225)])
def test_a_blurred_cell_has_a_problem_and_the_sharp_one_has_none_on_any_background(
    cells: list[Image.Image], ground: tuple[int, int, int]
) -> None:
    for cell in cells:
        picture = Image.new("RGB", (cell.width + 20, cell.height + 20), ground)
        picture.paste(cell, (10, 10), cell.convert("L").point([0] + [255] * 255))
        assert BLURRED not in quality_problems(picture)
        assert BLURRED in quality_problems(picture.filter(ImageFilter.GaussianBlur(cell.width / 25)))


def test_an_overexposed_cell_has_a_problem(cells: list[Image.Image]) -> None:
    for cell in cells:
        assert OVEREXPOSED in quality_problems(cell.point([min(255, 2 * value) for value in range(256)] * 3))
