"""What the fields of a slide say together; the cells are made up."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import WHITE_CELL
from malaria_detect.fields.result import NOT_A_RED_CELL, AnalysedCell, FieldResult
from malaria_detect.fields.slide import SlideResult
from malaria_detect.inference.prediction import Refusal
from malaria_detect.metrics.between_field import design_effect
from malaria_detect.metrics.parasitemia import corrected_parasitemia, limit_of_detection, rogan_gladen
from malaria_detect.metrics.types import Estimate, PatientCounts
from tests.fields.cells import COUNTING, FOUND, called, counted_field, reviewed
from tests.refused import refused

PARASITIZED, UNINFECTED = CLASSES
REFUSED = FieldResult("blurred.jpg", (100, 100), refusal=Refusal("It is out of focus.", "out_of_focus"))


def slide_of(*fields: FieldResult, patients: tuple[PatientCounts, ...] = COUNTING.patients) -> SlideResult:
    return SlideResult("P1", fields, replace(COUNTING, patients=patients))


def corrected(slide: SlideResult) -> Estimate:
    """Corrected parasitemia of a slide whose model has test patients."""
    assert slide.corrected is not None
    return slide.corrected


def test_counts_of_all_fields_are_added() -> None:
    edge = AnalysedCell(101, replace(FOUND, on_edge=True), called(PARASITIZED))
    white = AnalysedCell(102, replace(FOUND, kind=WHITE_CELL))
    unsure = AnalysedCell(103, FOUND, called(PARASITIZED, uncertain=True))
    first = counted_field(100, 3)
    slide = slide_of(
        replace(first, cells=(*first.cells, edge, white, unsure)), REFUSED, counted_field(100, 0)
    )
    assert (slide.cells, slide.parasitized, slide.uncertain, slide.refused) == (201, 4, 1, 1)
    assert (slide.verified, slide.verified_parasitized) == (0, 0)


def test_fields_alike_give_wilsons_interval_and_the_correction_for_the_model() -> None:
    slide = slide_of(*[counted_field(200, 4)] * 4)
    assert slide.counting.design_effect == 1
    wilson = scipy.stats.binomtest(16, 800).proportion_ci(method="wilson")
    assert (slide.apparent.low, slide.apparent.high) == pytest.approx((wilson.low, wilson.high))
    expected = corrected_parasitemia(16, 800, COUNTING.patients)
    found = corrected(slide)
    assert (found.value, found.low, found.high) == (
        expected.estimate,
        expected.low,
        expected.high,
    )
    assert slide.limit == limit_of_detection(800, COUNTING.patients)


def test_fields_that_differ_widen_both_intervals() -> None:
    alike, unlike = (
        slide_of(*[counted_field(200, 10)] * 4),
        slide_of(*(counted_field(200, n) for n in (0, 30, 2, 8))),
    )
    assert unlike.counting.design_effect == pytest.approx(design_effect([0, 30, 2, 8], [200] * 4))
    assert unlike.counting.design_effect > 10
    for name in ("apparent", "corrected"):
        near, far = getattr(alike, name), getattr(unlike, name)
        assert near.value == far.value
        assert far.low <= near.low
        assert far.high > 1.3 * near.high
    assert alike.limit is not None
    assert unlike.limit is not None
    assert unlike.limit.limit > alike.limit.limit


def test_a_design_effect_leaves_no_less_than_one_cell() -> None:
    assert design_effect([200, 0], [200, 200]) == 400
    assert design_effect([1, 0], [1, 1]) == 2
    assert design_effect([5, 0, 3], [5, 0, 9]) >= 1
    one_sided = slide_of(counted_field(20, 20), counted_field(20, 0))
    assert 0 <= one_sided.apparent.low < 0.1
    assert 0.9 < one_sided.apparent.high <= 1
    assert one_sided.limit is not None


def test_verified_cells_are_known_without_the_models_mistakes() -> None:
    field = counted_field(200, 4)
    slide = slide_of(field)
    sensitivity = sum(one.true_positive for one in COUNTING.patients) / sum(
        one.parasitized for one in COUNTING.patients
    )
    # All cells that the model called parasitized are reviewed, and one was not: only missed ones are left.
    called_ones = slide_of(reviewed(field, {1: UNINFECTED, **dict.fromkeys((2, 3, 4), PARASITIZED)}))
    assert (called_ones.parasitized, called_ones.verified, called_ones.verified_parasitized) == (3, 4, 3)
    assert (called_ones.counting.called_reviewed, called_ones.counting.uncalled_reviewed) == (1, 0)
    assert corrected(called_ones).value == pytest.approx(3 / 200 / sensitivity)
    assert corrected(called_ones).low > corrected(slide).low
    # Everything is reviewed: nothing is left to correct, and the interval is that of counting.
    everything = slide_of(
        reviewed(field, {n: PARASITIZED if n in (2, 3, 4) else UNINFECTED for n in range(1, 201)})
    )
    exact = scipy.stats.binomtest(3, 200).proportion_ci()
    assert corrected(everything).value == pytest.approx(3 / 200)
    assert (corrected(everything).low, corrected(everything).high) == pytest.approx(
        (exact.low, exact.high), abs=1e-4
    )


def test_what_a_person_adds_and_removes_changes_the_count() -> None:
    field = reviewed(counted_field(100, 4), {1: NOT_A_RED_CELL})
    drawn = AnalysedCell(101, FOUND, None, PARASITIZED)
    slide = slide_of(replace(field, cells=(*field.cells, drawn)))
    assert (slide.cells, slide.parasitized, slide.verified, slide.verified_parasitized) == (100, 4, 1, 1)
    # Neither says anything about the model's decisions on the other cells.
    assert (slide.counting.called_reviewed, slide.counting.uncalled_reviewed) == (0, 0)


def test_a_review_of_the_uncertain_cells_first_is_not_corrected_for_twice() -> None:
    # Of the cells called parasitized, 20 are wrong half of the time, and 80 never.
    sure = called(PARASITIZED)
    unsure = replace(sure, probabilities={PARASITIZED: 0.5, UNINFECTED: 0.5})
    cells = tuple(
        AnalysedCell(n, FOUND, unsure if n <= 20 else sure if n <= 100 else called(UNINFECTED))
        for n in range(1, 1001)
    )
    patients = tuple(PatientCounts(f"P{n}", 100, 900, 100, 9) for n in range(20))
    slide = slide_of(replace(counted_field(0, 0), cells=cells), patients=patients)
    verdicts = {n: PARASITIZED if n <= 10 else UNINFECTED for n in range(1, 21)}
    after = slide_of(reviewed(slide.fields[0], verdicts), patients=patients)
    assert corrected(slide).value == pytest.approx(0.09, abs=0.002)
    assert corrected(after).value == pytest.approx(0.09, abs=0.001)
    # Two of these twenty say what two of twenty say.
    some = slide_of(reviewed(slide.fields[0], {1: PARASITIZED, 2: UNINFECTED}), patients=patients)
    assert some.counting.called_reviewed == pytest.approx(0.1, abs=0.01)


def test_reviewed_healthy_cells_without_a_call_need_no_correction() -> None:
    field = reviewed(counted_field(50, 0), dict.fromkeys(range(1, 51), UNINFECTED))
    slide = slide_of(field)
    assert (slide.counting.called_reviewed, slide.counting.uncalled_reviewed) == (1, 1)
    assert corrected(slide).value == 0


@pytest.mark.parametrize("patients", [(), (PatientCounts("A", 0, 90, 0, 3),)])
def test_a_model_without_test_patients_gives_no_correction(patients: tuple[PatientCounts, ...]) -> None:
    slide = slide_of(counted_field(100, 4), patients=patients)
    assert (slide.corrected, slide.limit, slide.per_microlitre) == (None, None, None)
    assert slide.apparent.value == 0.04


def test_a_slide_without_cells_has_no_numbers() -> None:
    for slide in (slide_of(), slide_of(REFUSED)):
        assert math.isnan(slide.apparent.value)
        assert (slide.corrected, slide.limit) == (None, None)
        assert [guideline.missing for guideline in slide.guidelines] == [2000, 1000, 5000]


@pytest.mark.parametrize(
    ("cells", "parasitized", "missing"),
    [(100, 0, (1900, 900, 4900)), (600, 30, (0, 400, 4400)), (5000, 10, (0, 0, 0))],
)
def test_guidelines_say_how_many_more_cells_to_count(
    cells: int, parasitized: int, missing: tuple[int, ...]
) -> None:
    slide = slide_of(counted_field(cells, parasitized))
    assert tuple(guideline.missing for guideline in slide.guidelines) == missing


def test_parasites_per_microlitre_need_a_red_cell_count() -> None:
    slide = slide_of(counted_field(500, 20))
    assert slide.per_microlitre is None
    given = replace(slide, red_cells_per_microlitre=4e6)
    assert given.per_microlitre is not None
    assert given.per_microlitre.value == pytest.approx(4e6 * corrected(slide).value)
    assert given.per_microlitre.low == pytest.approx(4e6 * corrected(slide).low)
    for wrong in (0, -1, math.nan, math.inf):
        with refused(ArgumentError, "red_cells_per_microlitre"):
            replace(slide, red_cells_per_microlitre=wrong)


def slides(rng: np.random.Generator, times: int) -> Iterator[tuple[float, SlideResult]]:
    """True parasitemia and result of made-up slides of new patients, with uneven fields."""
    rates = [(0.7, 90.0), (20.0, 1.5)]  # false-positive rate and sensitivity of a patient
    for _ in range(times):
        parasitized = np.clip(np.exp(3.5 + 1.4 * rng.normal(size=40)), 1, 500).astype(int)
        patients = tuple(
            PatientCounts(
                f"P{number}",
                int(cells),
                68,
                int(rng.binomial(cells, rng.beta(*rates[1]))),
                int(rng.binomial(68, rng.beta(*rates[0]))),
            )
            for number, cells in enumerate(parasitized)
        )
        truth = rng.choice([0.0, 0.005, 0.03, 0.2])
        false_positive, sensitivity = rng.beta(*rates[0]), rng.beta(*rates[1])
        # Parasites per field vary with a relative standard deviation of 0.4.
        shares = np.minimum(1, truth * rng.gamma(1 / 0.16, 0.16, size=8))
        yield (
            truth,
            slide_of(
                *(
                    counted_field(
                        200, int(rng.binomial(200, share * sensitivity + (1 - share) * false_positive))
                    )
                    for share in shares
                ),
                patients=patients,
            ),
        )


@pytest.mark.slow
def test_interval_of_a_slide_covers_the_truth_of_new_patients_with_uneven_fields() -> None:
    covered = [
        corrected(slide).low <= truth <= corrected(slide).high
        for truth, slide in slides(np.random.default_rng(4), 250)
    ]
    assert 0.92 <= np.mean(covered) <= 1.0, np.mean(covered)


def test_rogan_gladen_names_the_correction() -> None:
    slide = slide_of(counted_field(1000, 100))
    sensitivity, mistaken = (
        sum(hits(one) for one in COUNTING.patients) / sum(cells(one) for one in COUNTING.patients)
        for hits, cells in (
            (lambda one: one.true_positive, lambda one: one.parasitized),
            (lambda one: one.false_positive, lambda one: one.uninfected),
        )
    )
    assert corrected(slide).value == pytest.approx(rogan_gladen(0.1, sensitivity, 1 - mistaken))
