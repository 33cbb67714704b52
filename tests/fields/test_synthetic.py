import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.cli import main
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.cut_outs import CutOut, SyntheticError, cut_out, cut_outs_of, read_cut_outs
from malaria_detect.fields.synthetic import FieldSettings, synthetic_field
from tests.refused import refused


@pytest.fixture(scope="module")
def cut_outs(sample_cells: Path) -> list[CutOut]:
    return cut_outs_of(find_cells(sample_cells).cells, seed=0, most=40)


def test_the_same_seed_gives_the_same_field(cut_outs: list[CutOut]) -> None:
    first, again, other = (synthetic_field(cut_outs, seed, FieldSettings(320, 240)) for seed in (7, 7, 8))
    assert np.array_equal(first.pixels, again.pixels)
    assert [cell.box for cell in first.cells] == [cell.box for cell in again.cells]
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("diameter", [16.0, 40.0, 120.0])
def test_cells_have_the_diameter_that_was_asked_for(cut_outs: list[CutOut], diameter: float) -> None:
    settings = FieldSettings(480, 360, diameter, coverage=0.4, eyepiece=False)
    fields = [synthetic_field(cut_outs, seed, settings) for seed in range(2)]
    areas = [
        cell.area for field in fields for cell in field.cells if cell.kind == RED_CELL and not cell.on_edge
    ]
    assert np.median(2 * np.sqrt(np.array(areas) / np.pi)) == pytest.approx(diameter, rel=0.12)


def test_outlines_lie_where_the_cells_are(cut_outs: list[CutOut]) -> None:
    """Within its outline a cell differs from blank smear, just outside of it there is smear."""
    settings = FieldSettings(640, 480, 60.0, coverage=0.05, eyepiece=False)
    contrasts = []
    for seed in range(6):
        field = synthetic_field(cut_outs, seed, settings)
        grey = field.pixels.mean(axis=2)
        for cell in field.cells:
            if cell.kind == RED_CELL and not cell.on_edge:
                left, top, width, height = cell.box
                inside = grey[top : top + height, left : left + width][cell.mask]
                contrasts.append(float(np.median(grey) - np.median(inside)))
    assert np.mean(np.array(contrasts) > 3) > 0.9


def test_cells_cut_by_frame_or_eyepiece_are_marked_and_end_there(cut_outs: list[CutOut]) -> None:
    for eyepiece in (False, True):
        field = synthetic_field(cut_outs, 3, FieldSettings(480, 360, 50.0, 0.6, eyepiece))
        corners = np.concatenate([cell.outline for cell in field.cells])
        assert corners.min() >= 0
        assert (corners.max(axis=0) <= (480, 360)).all()
        assert any(cell.on_edge for cell in field.cells)
        if eyepiece:
            assert field.pixels[0, 0].max() < 24


@pytest.mark.parametrize(
    "setting", [{"width": 10}, {"height": 9000}, {"cell_diameter": 2}, {"coverage": 2.0}, {"width": 0}]
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with refused(SyntheticError, "setting"):
        FieldSettings(**setting)  # type: ignore[arg-type]


def test_a_negative_seed_and_no_fields_are_refused(
    cut_outs: list[CutOut], sample_cells: Path, tmp_path: Path
) -> None:
    with refused(SyntheticError, "setting"):
        synthetic_field(cut_outs, -1)
    words = ["--out", str(tmp_path / "out"), "--cells", str(sample_cells), "--fields", "0"]
    assert main(["fields", "synthesize", *words]) == 2
    assert not (tmp_path / "out").exists()


def test_what_is_no_cell_is_no_cut_out(tmp_path: Path) -> None:
    assert cut_out(np.zeros((50, 50, 3), np.uint8), 64) is None
    ring = np.hypot(*np.mgrid[-60:60, -60:60])
    arc = ((ring > 40) & (ring < 50))[..., None] * np.array([200, 150, 180], np.uint8)
    arc[:60] = 0
    assert cut_out(arc.astype(np.uint8), 64) is None
    Image.fromarray(arc.astype(np.uint8)).save(tmp_path / "arc.png")
    with refused(SyntheticError, "no_cells"):
        read_cut_outs([tmp_path / "arc.png"])
    with refused(SyntheticError, "no_cells"):
        synthetic_field([], 0)


def test_the_command_writes_images_masks_and_counts_that_agree(sample_cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "fields"
    words = ["--cells", str(sample_cells), "--size", "320x240", "--cell-diameter", "30", "--no-eyepiece"]
    assert main(["fields", "synthesize", "--out", str(out), "--fields", "2", "--seed", "4", *words]) == 0
    with (out / "counts.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["000004.png", "000005.png"]
    for row in rows:
        with (
            Image.open(out / "masks" / row["image"]) as opened,
            Image.open(out / "images" / row["image"]) as image,
        ):
            mask = np.asarray(opened)
            assert image.size == (320, 240)
        assert mask.shape == (240, 320)
        assert mask.dtype == np.uint16
        # A cell under others may have no pixel of its own.
        assert 0.8 * int(row["red_cells"]) <= len(np.unique(mask)) - 1 <= int(row["red_cells"])


def test_a_size_in_other_words_is_refused(sample_cells: Path, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "out"), "--cells", str(sample_cells), "--size", "big"]
    assert main(["fields", "synthesize", *words]) == 2
    assert not (tmp_path / "out").exists()
