"""Analysing drawn fields, whose cells are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import malaria_detect
from malaria_detect.core.json_io import RecordError, from_json, to_plain
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.fields.cell import RED_CELL, WHITE_CELL
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.foreign import KnownCells, Screen, normalised
from malaria_detect.inference.metadata import field_point
from tests.drawn_fields import drawn_field
from tests.known_finder import FEW, KnownFinder
from tests.refused import refused


@pytest.fixture(scope="module")
def analyser(detector: Detector) -> FieldAnalyser:
    return FieldAnalyser(detector.at("counting"), KnownFinder.of(0, 1))


@pytest.fixture(scope="module")
def result(analyser: FieldAnalyser) -> FieldResult:
    return analyser.analyse_field(drawn_field(0, FEW)[0])


def test_every_cell_of_a_drawn_field_is_classified_and_counted(result: FieldResult) -> None:
    kinds = drawn_field(0, FEW)[2]
    assert (result.name, result.size, result.refusal, result.warnings) == ("field", FEW.size, None, ())
    assert [cell.number for cell in result.cells] == list(range(1, len(kinds) + 1))
    assert [cell.found.kind == WHITE_CELL for cell in result.cells] == [kind == WHITE_CELL for kind in kinds]
    assert (len(result.counted), result.parasitized) == (FEW.cells, FEW.parasitized)
    for cell, kind in zip(result.cells, kinds, strict=True):
        # Cells on the edge are classified, and not counted.
        assert cell.decision == (None if kind == WHITE_CELL else kind)
        assert cell.counted == (cell.found.kind == RED_CELL and not cell.found.on_edge)
    assert sum(cell.found.on_edge for cell in result.cells) == FEW.on_edge
    assert result.cell_diameter == pytest.approx(0.95 * FEW.diameter, rel=0.05)


def test_path_bytes_picture_and_array_give_the_same_result(
    analyser: FieldAnalyser, result: FieldResult, tmp_path: Path
) -> None:
    pixels = drawn_field(0, FEW)[0]
    path = tmp_path / "a field.png"
    # A phone's orientation must not turn the coordinates.
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(pixels).save(path, exif=exif)
    expected = replace(result, name="", seconds=0.0)
    for source in (path, path.read_bytes(), Image.fromarray(pixels)):
        found = analyser.analyse_field(source)
        assert found.name == (str(path) if source is path else "field")
        assert to_plain(replace(found, name="", seconds=0.0)) == to_plain(expected)


@pytest.mark.parametrize(
    ("picture", "reason", "size"),
    [
        (np.full((400, 500, 3), 220, np.uint8), "blank", (0, 0)),
        (drawn_field(7, FEW)[0], "no_cells", FEW.size),
        (b"not a picture", "unknown_format", (0, 0)),
        (Path("no such field.jpg"), "no_file", (0, 0)),
        (np.zeros((1, 1, 3), np.uint8), "too_small", (0, 0)),
    ],
)
def test_a_field_that_cannot_be_used_is_a_result_with_the_reason(
    analyser: FieldAnalyser, picture: np.ndarray | bytes | Path, reason: str, size: tuple[int, int]
) -> None:
    found = analyser.analyse_field(picture, name="bad")
    assert found.refusal is not None
    assert (found.refusal.reason, found.name, found.size, found.cells) == (reason, "bad", size, ())


def test_small_cells_are_warned_of_and_what_cannot_be_classified_is_not_counted(detector: Detector) -> None:
    drawn = replace(FEW, diameter=12)
    found = FieldAnalyser(detector, KnownFinder.of(3, drawn=drawn)).analyse_field(drawn_field(3, drawn)[0])
    unknown = sum(cell.prediction is None for cell in found.cells if cell.counted)
    assert 0 < unknown <= drawn.cells
    assert len(found.counted) == drawn.cells - unknown
    assert len(found.warnings) == 2


@pytest.mark.parametrize(("offset", "distance", "foreign"), [(1.0, 2.0, True), (-1.0, -1.0, False)])
def test_foreign_cells_keep_their_reason_and_another_site_is_one_warning(
    detector: Detector, offset: float, distance: float, foreign: bool
) -> None:
    screen = Screen(np.zeros(1920, np.float32), offset, distance)
    known = KnownCells(normalised(np.ones((20, 1024), np.float32)), screen)
    checking = Detector(detector.classifier, detector.metadata, known=known)
    found = FieldAnalyser(checking, KnownFinder.of(0, drawn=FEW)).analyse_field(drawn_field(0, FEW)[0])
    assert (len(found.counted), found.site_warning) == ((0, False) if foreign else (FEW.cells, True))
    assert {cell.refusal.reason for cell in found.cells if cell.refusal} == (
        {"foreign"} if foreign else set()
    )
    assert [f"foreign {FEW.cells}" in warning for warning in found.warnings] == [True] * foreign
    again = from_json(FieldResult, to_plain(found))
    assert (again.warnings, again.site_warning) == (found.warnings, found.site_warning)
    reviewed = tuple(replace(cell, verified=CLASSES[1]) for cell in found.cells)
    assert not replace(found, cells=reviewed).warnings


def test_cells_of_poor_images_are_counted_with_the_reason(detector: Detector) -> None:
    pixels, *drawn = drawn_field(0, FEW)
    grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    found = FieldAnalyser(detector, KnownFinder((grey, *drawn))).analyse_field(grey)
    assert found.uncertain == FEW.cells
    assert f"grey {FEW.cells}" in found.warnings[0]


def test_a_slide_counts_all_fields_and_shows_each_when_it_is_ready(analyser: FieldAnalyser) -> None:
    pictures = [drawn_field(seed, FEW)[0] for seed in (0, 7, 1)]
    taken = iter(pictures)
    first = next(analyser.analyse_fields(taken, names=["first"]))
    assert (first.name, len(list(taken))) == ("first", 2)
    slide = analyser.analyse_slide(pictures, "P1")
    assert (slide.name, len(slide.fields), slide.refused) == ("P1", 3, 1)
    assert (slide.cells, slide.parasitized) == (2 * FEW.cells, 2 * FEW.parasitized)
    assert slide.point == analyser.detector.point


def test_results_survive_json(result: FieldResult) -> None:
    plain = to_plain(result)
    assert to_plain(from_json(FieldResult, plain)) == plain
    again = from_json(FieldResult, plain)
    for one, other in zip(result.cells, again.cells, strict=True):
        assert np.array_equal(one.found.outline, other.found.outline)
        assert (one.prediction, one.number, one.verified) == (other.prediction, other.number, other.verified)
    with refused(RecordError, "bad_record", naming="cells"):
        from_json(FieldResult, plain | {"cells": [{"number": 1}]})


def test_fields_are_analysed_at_the_operating_point_for_counting(detector: Detector) -> None:
    metadata = detector.metadata
    assert field_point(metadata) == "counting"
    others = tuple(point for point in metadata.operating_points if point.name != "counting")
    assert field_point(replace(metadata, operating_points=others)) == metadata.default_point
    assert {"load_analyser", "FieldAnalyser", "SlideResult"} <= set(malaria_detect.__all__)
