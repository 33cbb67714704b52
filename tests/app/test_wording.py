"""What is said of results: counts from the answers, shares from test patients, and nothing of a patient."""

from dataclasses import replace

import pytest

from malaria_detect.app import wording
from malaria_detect.app.wording import caution, slide_sentences, summary
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics import PatientCounts
from malaria_detect.metrics.formatting import format_percent
from malaria_detect.metrics.parasitemia import healthy_reading
from tests.app.widgets.fakes import METADATA, plain, prediction

POINT = METADATA.point()


def answers(parasitized: int, uninfected: int, refused: int = 0) -> list[Prediction | Refusal]:
    called = [prediction(0.99, METADATA)] * parasitized
    return [*called, *[prediction(0.01, METADATA)] * uninfected, *[Refusal("The file is empty.")] * refused]


@pytest.mark.parametrize(
    ("parasitized", "uninfected", "bad", "sentence"),
    [
        (2, 1, 0, "2 of 3 cells look parasitized."),
        (1, 1, 0, "1 of 2 cells looks parasitized."),
        (0, 1, 0, "0 of 1 cell looks parasitized."),
        (1, 0, 1, "1 of 1 cell looks parasitized. 1 image could not be checked."),
        (0, 2, 2, "0 of 2 cells look parasitized. 2 images could not be checked."),
        (0, 0, 2, "2 images could not be checked."),
    ],
)
def test_summary_counts_cells_and_refusals(
    parasitized: int, uninfected: int, bad: int, sentence: str
) -> None:
    assert summary(answers(parasitized, uninfected, bad)) == sentence


def test_caution_tells_what_was_counted_at_the_operating_point() -> None:
    counted = replace(POINT.test, true_positive=3, false_negative=1, false_positive=1, true_negative=4)
    text = plain(caution(replace(POINT, test=counted)))
    assert "“balanced”" in text
    assert "missed 1 of 4 parasitized cells (25.0 %)" in text
    assert "called 1 of 5 uninfected cells parasitized (20.0 %)" in text


def test_a_slide_is_told_called_corrected_healthy_and_limit() -> None:
    called, corrected, healthy, limit, basis = map(plain, slide_sentences(answers(3, 37, 5), POINT))
    assert called == "3 of 40 cells were called parasitized: 7.5 %."
    estimate = wording.correction(3, 40, POINT.patients)
    assert estimate is not None
    assert (
        f": {plain(format_percent(estimate.estimate))} ({plain(format_percent(estimate.low))} to "
        in corrected
    )
    assert plain(f"about {format_percent(healthy_reading(POINT.patients).value)} (") in healthy
    assert limit.startswith("With 40 cells, the lowest parasitemia distinguishable from zero")
    assert "Only 40 cells were checked" in basis
    *_, basis = slide_sentences(answers(3, 497), POINT)
    assert "Only" not in basis
    assert slide_sentences(answers(0, 0, 2), POINT) == []


def test_an_adapted_model_says_nothing_of_slides_and_test_patients() -> None:
    point = replace(POINT, patients=())
    assert slide_sentences(answers(3, 37), point)[1:] == [wording.NO_PATIENTS]
    assert [wording.tested_on(one) in caution(one) for one in (POINT, point)] == [True, True]
    assert wording.tested_on(POINT) != wording.tested_on(point)


def test_no_limit_and_no_correction_are_said_so() -> None:
    # As many uninfected cells are called as parasitized ones: such calls say nothing.
    useless = tuple(PatientCounts(name, 10, 10, 3, 3) for name in "AB")
    point = replace(POINT, patients=useless)
    _, corrected, _, limit, _ = slide_sentences(answers(1, 1), point)
    assert "cannot be corrected" in corrected
    assert "no parasitemia can be distinguished from zero" in limit


def test_an_interval_that_nobody_knows_is_left_out() -> None:
    alone = replace(POINT, patients=(PatientCounts("A", 100, 100, 97, 2),))
    said = plain(" ".join(slide_sentences(answers(3, 37), alone)))
    assert "about 2.0 % of the cells would be called parasitized" in said
    assert "nan" not in said


def test_words_of_a_diagnosis_are_never_said() -> None:
    said = []
    for point in METADATA.operating_points:
        answers = [prediction(probability, METADATA, point) for probability in (0.01, 0.99)]
        said += [caution(point), *slide_sentences(answers, point)]
    for word in ("positive", "negative", "healthy", "diagnos", "infected person", "sick"):
        assert word not in " ".join(said).lower()
