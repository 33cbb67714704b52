"""The shipped cell finder on drawn fields with known cells, on real ones, and on what is no field."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.images import read_field
from malaria_detect.fields.cell import RED_CELL, WHITE_CELL, FoundCell
from malaria_detect.fields.finder import CellFinder, load_finder
from malaria_detect.fields.usable import FieldRefused
from tests.drawn_fields import Drawn, drawn_field, red_or_white
from tests.refused import refused


@pytest.fixture(scope="module")
def finder() -> CellFinder:
    return load_finder()


def red(cells: list[FoundCell]) -> list[FoundCell]:
    return [cell for cell in cells if cell.kind == RED_CELL]


def masks_agree(cell: FoundCell, outline: np.ndarray) -> bool:
    """Whether a found cell and a known outline share at least half of their union."""
    known = FoundCell(outline, 1.0, RED_CELL, False)
    left, top = np.minimum(cell.box[:2], known.box[:2])
    right, bottom = np.max([np.add(one.box[:2], one.box[2:]) for one in (cell, known)], axis=0)
    if right - left > cell.box[2] + known.box[2]:
        return False
    canvas = np.zeros((2, bottom - top, right - left), bool)
    for layer, one in zip(canvas, (cell, known), strict=True):
        x, y, width, height = one.box
        layer[y - top : y - top + height, x - left : x - left + width] = one.mask
    return bool(canvas.all(axis=0).sum() >= 0.5 * canvas.any(axis=0).sum())


@pytest.mark.parametrize("scale", [1, 2.5])
def test_every_cell_of_a_drawn_field_is_found_once(finder: CellFinder, scale: float) -> None:
    drawn = Drawn(
        cells=30, on_edge=4, white_cells=1, diameter=60 * scale, size=(int(640 * scale), int(480 * scale))
    )
    pixels, outlines, kinds = drawn_field(2, drawn)
    cells = finder.find(pixels)
    assert len(red(cells)) == 34
    assert sum(not cell.on_edge for cell in red(cells)) == 30
    for outline, kind in zip(outlines, kinds, strict=True):
        same = [cell for cell in cells if masks_agree(cell, outline)]
        assert [cell.kind for cell in same] == [red_or_white(kind)]


def test_a_turned_field_has_the_same_whole_cells(finder: CellFinder) -> None:
    pixels, _, _ = drawn_field(5)
    for turn in range(4):
        cells = finder.find(np.ascontiguousarray(np.rot90(pixels, turn)))
        assert sum(not cell.on_edge for cell in red(cells)) == 30


def test_no_cell_is_counted_twice_or_lost_where_tiles_meet(finder: CellFinder) -> None:
    """At its own scale this picture is searched in two tiles, and cells lie on the seam."""
    drawn = Drawn(cells=150, on_edge=0, white_cells=0, diameter=32, size=(2000, 320))
    pixels, outlines, _ = drawn_field(1, drawn)
    cells = finder.find(pixels, cell_diameter=32)
    assert any(cell.outline[:, 0].min() < 1440 < cell.outline[:, 0].max() for cell in cells)
    assert len(cells) == len(outlines) == 150


def test_outlines_of_cells_do_not_overlap(finder: CellFinder) -> None:
    pixels, _, _ = drawn_field(3)
    covered = np.zeros(pixels.shape[:2], int)
    for cell in finder.find(pixels):
        left, top, width, height = cell.box
        covered[top : top + height, left : left + width] += cell.mask
    assert covered.max() == 1


def test_a_black_round_view_marks_the_cells_at_its_rim(finder: CellFinder) -> None:
    pixels, _, _ = drawn_field(4, Drawn(cells=60, on_edge=0, white_cells=0, diameter=50, size=(800, 600)))
    y, x = np.mgrid[:600, :800]
    outside = np.hypot(x - 400, y - 300) > 250
    cells = finder.find(np.where(outside[..., None], 0, pixels).astype(np.uint8))
    for cell in red(cells):
        away = np.hypot(*(cell.outline - np.array([400, 300])).T).max()
        reach = np.sqrt(cell.area / np.pi) * 2
        if abs(away - (250 - reach / 4)) > 3:
            assert cell.on_edge == (away > 250 - reach / 4)
    assert any(cell.on_edge for cell in red(cells))


def smooth_noise() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((480, 640, 3), 220, np.uint8), "no_cells"),
        (np.full((480, 640, 3), 254, np.uint8), "overexposed"),
        (np.full((480, 640, 3), 12, np.uint8), "underexposed"),
        (np.zeros((1, 1, 3), np.uint8), "underexposed"),
        (np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8), "not_a_thin_smear"),
        (smooth_noise(), "not_a_thin_smear"),
        (drawn_field(0, Drawn(cells=3, on_edge=0, white_cells=0, parasitized=0))[0], "too_few_cells"),
    ],
    ids=["blank", "white", "dark", "one pixel", "noise", "smooth noise", "three cells"],
)
def test_what_is_no_field_is_refused(finder: CellFinder, pixels: np.ndarray, reason: str) -> None:
    with refused(FieldRefused, reason):
        finder.find(pixels)


def test_a_blurred_field_is_refused(finder: CellFinder) -> None:
    pixels, _, _ = drawn_field(6)
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(9))
    with refused(FieldRefused, "out_of_focus"):
        finder.find(np.asarray(blurred))


@pytest.mark.parametrize("diameter", [0, 3.9, 2001, float("nan")])
def test_an_impossible_diameter_is_refused(finder: CellFinder, diameter: float) -> None:
    with refused(ArgumentError, "cell_diameter"):
        finder.find(drawn_field(0)[0], cell_diameter=diameter)


def test_what_is_no_picture_is_refused(finder: CellFinder) -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), float), np.zeros((4, 4, 4), np.uint8)):
        with refused(ArgumentError, "pixels"):
            finder.find(wrong)


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("fields_nlm/C92P53ThinF_IMG_20150821_150718.jpg", 195, 225),
        ("fields_iml/PA171700.JPG", 140, 165),
        ("fields_bccd/BloodImage_00036.jpg", 10, 25),
        ("fields_chula/12.jpg", 85, 125),
    ],
)
def test_real_fields_of_four_laboratories_are_counted(
    finder: CellFinder, real_fields: Path, field: str, least: int, most: int
) -> None:
    cells = red(finder.find(np.asarray(read_field(real_fields / field))))
    assert least <= sum(not cell.on_edge for cell in cells) <= most


def test_thick_films_and_single_cells_are_refused(finder: CellFinder, real_fields: Path) -> None:
    for folder in ("thick_films", "white_cells"):
        for path in sorted((real_fields / "not_red_cells" / folder).iterdir())[:10]:
            with pytest.raises(FieldRefused):
                finder.find(np.asarray(read_field(path)))


def test_white_cells_are_not_counted_as_red_ones(finder: CellFinder, real_fields: Path) -> None:
    cells = finder.find(
        np.asarray(read_field(real_fields / "fields_nlm/C92P53ThinF_IMG_20150821_151722.jpg"))
    )
    assert sum(cell.kind == WHITE_CELL for cell in cells) == 1
