import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from malaria_detect.core.json_io import to_json
from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.data.field_truth import AnnotatedCell, FieldAnnotationError
from malaria_detect.data.nlm_cells import CELLS_VARIABLE
from malaria_detect.evaluation.field_benchmark import classified_by, score_field_sets
from malaria_detect.evaluation.field_matching import likeness, match
from malaria_detect.evaluation.field_scores import FieldBenchmark, SetScore, read_field_benchmark
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.detector import Detector
from tests.annotated import drawn, found_cells, write_boxes, write_centres, write_known, write_nlm
from tests.refused import refused

# Of a drawn field: 4 red cells on the edge, a white cell, 3 parasitized and 27 uninfected cells, in this order.
EDGE, WHITE, INFECTED, REST = slice(4), slice(4, 5), slice(5, 8), slice(8, 35)


class Given:
    """A finder that gives known cells, by the mean of the picture."""

    def __init__(
        self, change: Callable[[list[FoundCell]], list[FoundCell]] = list, seeds: Sequence[int] = (1, 2)
    ):
        self.cells = {round(float(drawn(seed)[0].mean()), 1): change(found_cells(seed)) for seed in seeds}

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        mean = float(pixels.mean())
        return self.cells[min(self.cells, key=lambda known: abs(known - mean))]


class Refusing:
    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        raise FieldRefused("The field is out of focus.", "out_of_focus")


def square(left: float, top: float, side: float, kind: str = RED_CELL, on_edge: bool = False) -> FoundCell:
    corners = np.array([left, top]) + side * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    return FoundCell(corners.astype(np.float32), 0.9, kind, on_edge)


def marked(cell: FoundCell, shape: str = "box") -> AnnotatedCell:
    points = np.array([cell.centre]) if shape == "centre" else cell.outline
    return AnnotatedCell("1", shape, points, red=True, label=None)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[0.9, 0.6], [0.8, 0.0]], [1, 0]),  # two pairs are better than the single best one
        ([[0.9, 0.6], [0.6, 0.8]], [0, 1]),
        ([[0.49]], [-1]),
        ([[0.5, 0.7]], [1]),
        ([[0.5], [0.7]], [-1, 0]),  # a clump found as one cell counts once
        (np.zeros((2, 0)), [-1, -1]),
        (np.zeros((0, 2)), []),
    ],
)
def test_cells_are_matched_one_to_one(table: ArrayLike, expected: list[int]) -> None:
    assert match(np.asarray(table, float)).tolist() == expected


def test_overlap_of_outlines_and_boxes_is_intersection_over_union() -> None:
    cells = [square(0, 0, 10), square(5, 0, 10), square(20, 20, 10), square(0, 0, 20)]
    for shape in ("outline", "box"):
        table = likeness([marked(square(0, 0, 10), shape)], cells, (100, 100))
        np.testing.assert_allclose(table, [[1, 50 / 150, 0, 100 / 400]])


def test_boxes_are_clipped_to_the_picture() -> None:
    assert likeness([marked(square(-10, 0, 20))], [square(0, 0, 10)], (100, 100)) == [[0.5]]


def test_centres_are_found_within_half_a_radius() -> None:
    radius = np.sqrt(100 / np.pi)
    cells = [square(0.49 * radius, 0, 10), square(0.51 * radius, 0, 10), square(50, 50, 10)]
    table = likeness([marked(square(0, 0, 10), "centre")], cells, (100, 100))
    assert (table >= 0.5).tolist() == [[True, False, False]]


def scores_of(folder: Path, finder: object, **rest: object) -> SetScore:
    (score,) = score_field_sets(read_field_sets(folder), finder, **rest)  # type: ignore[arg-type]
    return score


def hits(score: SetScore) -> dict[str, tuple[int | None, int | None]]:
    return {name: (one.hits, one.total) for name, one in score.estimates.items() if one.total is not None}


def test_a_perfect_finder_has_perfect_scores_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path / "cells"))
    writers = {
        "nlm": lambda root: write_nlm(root, [1, 2]),
        "points": lambda root: write_nlm(root, [1, 2], points=True),
        "boxes": lambda root: write_boxes(root, [1, 2]),
        "known": lambda root: write_known(root, tmp_path / "cells", 1),
        "centres": lambda root: write_centres(root, [1, 2]),
    }
    for name, write in writers.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    sets = score_field_sets([one for name in writers for one in read_field_sets(tmp_path / name)], Given())
    assert len(sets) == 5
    for name, score in zip(writers, sets, strict=True):
        assert score.estimates["recall"].value == 1, name
        assert {field.refusal for field in score.fields} == {""}
        assert ("f1" in score.estimates) == (name in ("nlm", "points"))
    nlm, points, _, known, centres = map(hits, sets)
    assert nlm == {
        "recall": (68, 68),
        "infected_recall": (6, 6),
        "others_taken": (0, 2),
        "precision": (68, 68),
        "f1": (136, 136),
    }
    assert (points["others_taken"], points["f1"]) == ((0, 0), (136, 136))
    assert known["recall"] == (15, 15)
    assert (
        sets[3].estimates["count_error"].value == 0
    )  # the census has no cells on the edge, and none was counted
    assert sets[2].estimates["count_error"].value == 0  # boxes are on the edge too, and so are found cells
    assert centres["recall"] == (68, 68)
    assert np.isnan(sets[4].estimates["count_error"].value)


def test_missed_surplus_and_mistaken_cells_are_counted(tmp_path: Path) -> None:
    def change(cells: list[FoundCell]) -> list[FoundCell]:
        extra = [square(0, 0, 3, on_edge=True), square(300, 200, 2)]
        white = [replace(cell, kind=RED_CELL) for cell in cells[WHITE]]
        return cells[EDGE][:3] + white + cells[INFECTED][1:] + cells[REST] + extra

    score = scores_of(write_nlm(tmp_path, [1, 2]), Given(change))
    # Each field: 34 red cells, of which one on the edge and one parasitized are missed; 2 surplus: the white cell and
    # a tiny one; that on the edge is no error, because cells there need not be annotated.
    assert hits(score) == {
        "recall": (64, 68),
        "infected_recall": (4, 6),
        "others_taken": (2, 2),
        "precision": (64, 68),
        "f1": (128, 136),
    }
    field = score.fields[0]
    assert (field.counted, field.on_edge, field.surplus, field.missed) == (31, 4, 2, ("1-6",))
    assert score.estimates["count_error"].value == pytest.approx(3 / 34)
    assert score.estimates["count_bias"].value == pytest.approx(-3 / 34)


def test_counts_of_boxes_include_cells_on_the_edge(tmp_path: Path) -> None:
    score = scores_of(write_boxes(tmp_path, [1, 2]), Given(lambda cells: cells[1:]))
    assert score.estimates["count_error"].value == pytest.approx(1 / 34)
    assert score.counts_edge


def test_refused_fields_have_missed_cells_and_no_count(tmp_path: Path) -> None:
    score = scores_of(write_nlm(tmp_path, [1, 2]), Refusing())
    assert score.refused == {"out_of_focus": 2}
    assert hits(score)["recall"] == (0, 68)
    assert np.isnan(score.estimates["count_error"].value)


def test_calls_are_scored_end_to_end_at_each_operating_point(tmp_path: Path, detector: Detector) -> None:
    screening, balanced = (detector.metadata.point(name) for name in ("screening", "balanced"))
    points = [replace(screening, threshold=0.4), replace(balanced, threshold=0.8)]

    def classify(pixels: np.ndarray, cells: Sequence[FoundCell]) -> np.ndarray:
        # After the cells on the edge: two parasitized ones of 0.9 and 0.5, one that cannot be classified, then others.
        return np.array([0.0, 0, 0, 0.9, 0.9, 0.5, np.nan, 0.6] + [0.1] * (len(cells) - 8))

    finder = Given(lambda cells: cells[:4] + cells[5:])
    score = scores_of(write_nlm(tmp_path, [1, 2]), finder, classify=classify, points=points)
    found = {
        point: {name: (one.hits, one.total) for name, one in shares.items()}
        for point, shares in score.called.items()
    }
    assert found == {
        "screening": {"infected": (4, 6), "uninfected": (4, 62), "counted": (6, 60)},
        "balanced": {"infected": (2, 6), "uninfected": (2, 62), "counted": (2, 60)},
    }
    assert score.parasitemia == pytest.approx(6 / 68)


def test_a_detector_classifies_the_cells_of_a_field(tmp_path: Path, detector: Detector) -> None:
    classify = classified_by(detector)
    pixels = drawn(1)[0]
    cells = [cell for cell in found_cells(1) if cell.kind == RED_CELL][:5]
    found = classify(pixels, [*cells, square(3, 3, 1)])
    assert ((found[:5] > 0) & (found[:5] < 1)).all()
    assert np.isnan(found[5])  # too small to be an image of a cell


def test_an_image_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    write_nlm(tmp_path, [1])
    (file,) = tmp_path.rglob("*.txt")
    file.write_text(file.read_text().replace("640,480", "480,640", 1))
    with refused(FieldAnnotationError, "other_size"):
        scores_of(tmp_path, Given())


def test_the_result_file_is_read_back(tmp_path: Path) -> None:
    score = scores_of(write_nlm(tmp_path, [1, 2]), Given())
    benchmark = FieldBenchmark.of([score], "malaria-detect evaluate --fields nlm", "a" * 64, "b" * 64)
    path = tmp_path / "fields.json"
    path.write_text(to_json(benchmark))
    again = read_field_benchmark(path)
    assert to_json(again) == to_json(benchmark)
    assert again.sets[0].estimates["recall"].low == pytest.approx(0.025**0.5)
    path.write_text(json.dumps({"sets": []}))
    with refused(FieldAnnotationError, "damaged"):
        read_field_benchmark(path)
