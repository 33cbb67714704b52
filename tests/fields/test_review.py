"""Corrections of a field, with exact counts."""

from dataclasses import replace

import numpy as np
import pytest

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL, WHITE_CELL, FoundCell
from malaria_detect.fields.result import NOT_A_RED_CELL, AnalysedCell, FieldResult
from malaria_detect.fields.review import Review, ReviewError
from tests.app.widgets.fakes import METADATA, prediction
from tests.refused import refused

PARASITIZED, UNINFECTED = CLASSES


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


@pytest.fixture
def review() -> Review:
    """A parasitized, an uncertain and an uninfected cell, one on the edge, and a white cell."""
    cells = (
        (RED_CELL, 0.99, False),
        (RED_CELL, 0.5, False),
        (RED_CELL, 0.01, False),
        (RED_CELL, 0.99, True),
        (WHITE_CELL, None, False),
    )
    return Review(
        FieldResult(
            "field.png",
            (200, 100),
            tuple(
                AnalysedCell(
                    number,
                    FoundCell(box(40 * number - 30, 30, 40 * number - 10, 60), 0.9, kind, on_edge),
                    None if probability is None else prediction(probability, METADATA),
                )
                for number, (kind, probability, on_edge) in enumerate(cells, start=1)
            ),
            cell_diameter=20.0,
        )
    )


def counts(review: Review) -> tuple[int, int, int, int]:
    """Counted, parasitized, uncertain and verified cells."""
    result = review.result
    return len(result.counted), result.parasitized, result.uncertain, result.verified


def numbers(review: Review) -> list[int]:
    return [cell.number for cell in review.result.cells]


def test_verdicts_change_the_counts_and_are_kept_apart_from_predictions(review: Review) -> None:
    assert counts(review) == (3, 2, 1, 0)
    before = review.result
    review.judge(2, UNINFECTED)
    assert counts(review) == (3, 1, 0, 1)
    review.judge(3, NOT_A_RED_CELL)
    assert counts(review) == (2, 1, 0, 1)
    review.judge(5, PARASITIZED)  # what the finder took for a white cell
    assert counts(review) == (3, 2, 0, 2)
    cell = review.cell(2)
    assert (cell.verified, cell.prediction) == (UNINFECTED, before.cells[1].prediction)
    assert counts(Review(before)) == (3, 2, 1, 0)


def test_accepting_the_rest_verifies_every_decision_and_leaves_verdicts(review: Review) -> None:
    review.judge(1, UNINFECTED)
    added = review.add(20, 90)
    assert review.accept_rest() == 3
    assert [cell.verified for cell in review.result.cells] == [
        UNINFECTED,
        PARASITIZED,
        UNINFECTED,
        PARASITIZED,
        None,
        None,
    ]
    assert counts(review) == (3, 1, 0, 3)
    assert review.accept_rest() == 0
    review.undo()
    assert counts(review) == (3, 1, 1, 1)
    assert review.cell(added).decision is None


def test_a_split_cell_becomes_two_that_wait_for_a_verdict(review: Review) -> None:
    assert review.split(1, (5, 40), (25, 40)) == (6, 7)
    assert numbers(review) == [2, 3, 4, 5, 6, 7]
    areas = sorted(review.cell(number).found.area for number in (6, 7))
    assert areas == [200, 400]
    assert counts(review) == (2, 1, 1, 0)
    assert review.cell(6).uncertain
    review.judge(6, PARASITIZED)
    review.judge(7, UNINFECTED)
    assert counts(review) == (4, 2, 1, 2)


def test_parts_of_a_cell_cut_at_any_angle_add_up_to_it(review: Review) -> None:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 30 + 6 * np.cos(2 * angles)  # with a waist, as two cells that touch
    outline = np.stack([100 + radius * np.cos(angles), 50 + radius * np.sin(angles)], axis=1).astype(
        np.float32
    )
    whole = FoundCell(outline, 0.9, RED_CELL, False)
    field = replace(review.result, cells=(AnalysedCell(1, whole),))
    for x, y in 50 * np.stack([np.cos(angles), np.sin(angles)], axis=1)[:30]:
        cut = Review(field)
        parts = cut.split(1, (100 - x, 50 - y), (100 + x, 50 + y))
        assert sum(cut.cell(number).found.area for number in parts) == pytest.approx(whole.area, rel=1e-4)


def test_an_added_cell_has_the_usual_size_or_the_one_drawn(review: Review) -> None:
    usual, drawn = review.add(100, 80), review.add(150, 80, 30, 20)
    assert (usual, drawn) == (6, 7)
    assert review.cell(usual).found.box == (90, 70, 20, 20)
    assert review.cell(drawn).found.box == (135, 70, 30, 20)
    assert counts(review) == (3, 2, 1, 0)
    review.judge(usual, PARASITIZED)
    assert counts(review) == (4, 3, 1, 1)
    edge = review.cell(review.add(3, 80)).found
    assert edge.on_edge
    assert (edge.outline >= 0).all()


def test_an_added_cell_keeps_clear_of_its_neighbours(review: Review) -> None:
    added = review.cell(review.add(32, 45, 20, 20)).found
    assert added.outline[:, 0].min() >= 29.5
    assert added.outline[:, 0].max() == pytest.approx(42)


def test_undo_takes_back_one_correction_after_the_other(review: Review) -> None:
    start = counts(review)
    assert not review.undo()
    review.judge(1, UNINFECTED)
    review.split(2, (60, 0), (60, 99))
    review.add(100, 80)
    steps = []
    while review.can_undo:
        review.undo()
        steps.append(numbers(review))
    assert steps == [[1, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]
    assert counts(review) == start


def test_another_operating_point_is_no_correction(review: Review) -> None:
    review.judge(3, PARASITIZED)
    review.change(lambda result: replace(result, name="other"))
    assert review.undo()
    assert (review.result.name, review.can_undo) == ("other", False)


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        (lambda review: review.judge(9, PARASITIZED), "unknown_cell"),
        (lambda review: review.judge(1, "healthy"), "unknown_verdict"),
        (lambda review: review.split(1, (5, 10), (25, 10)), "no_cut"),
        (lambda review: review.split(1, (9, 40), (9, 40)), "no_cut"),
        (lambda review: review.split(9, (5, 10), (25, 10)), "unknown_cell"),
        (lambda review: review.add(20, 45), "occupied"),
        (lambda review: review.add(200, 50), "outside"),
        (lambda review: review.add(float("nan"), 50), "outside"),
        (lambda review: review.add(20, 90, 3, 20), "too_small"),
    ],
)
def test_what_cannot_be_corrected_changes_nothing(correction, reason: str, review: Review) -> None:  # type: ignore[no-untyped-def]
    before = review.result
    with refused(ReviewError, reason):
        correction(review)
    assert review.result is before
