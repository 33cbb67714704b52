"""Parasitemia: formulas worked by hand, limits, and simulation of new patients."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.metrics import MetricsError, PatientCounts, count_patients, score
from malaria_detect.metrics.between_patient import draw_rates
from malaria_detect.metrics.intervals import draw_groups
from malaria_detect.metrics.parasitemia import (
    ParasitemiaError,
    apparent_parasitemia,
    corrected_parasitemia,
    healthy_reading,
    limit_of_detection,
    rogan_gladen,
)
from tests.metrics.studies import Studies
from tests.refused import refused

FALSE_POSITIVES, SENSITIVITIES = (0.65, 22.0), (20.0, 0.6)
SHARES = st.floats(0, 1)


def tried(rng: np.random.Generator, patients: int) -> list[PatientCounts]:
    """Patients on whom a classifier was tried, whose rates differ strongly."""
    parasitized = np.clip(np.exp(3.5 + 1.4 * rng.normal(size=patients)), 1, 500).astype(int)
    found = rng.binomial(parasitized, rng.beta(*SENSITIVITIES, patients))
    mistaken = rng.binomial(68, rng.beta(*FALSE_POSITIVES, patients))
    return [
        PatientCounts(f"P{number}", int(cells), 68, int(hits), int(wrong))
        for number, (cells, hits, wrong) in enumerate(zip(parasitized, found, mistaken, strict=True))
    ]


# All alike: sensitivity 0.96 and specificity 0.98, and nothing that chance would not bring about.
ALIKE = [PatientCounts(f"P{number:02}", 500, 500, 480, 10) for number in range(40)]


@given(SHARES, SHARES, SHARES)
def test_rogan_and_gladen_turn_the_apparent_parasitemia_back(
    parasitemia: float, sensitivity: float, specificity: float
) -> None:
    assert apparent_parasitemia(0.1, 0.9, 0.8) == pytest.approx(0.1 * 0.9 + 0.9 * 0.2)
    assert (rogan_gladen(0.05, 0.9, 0.8), rogan_gladen(0.95, 0.9, 0.8)) == (0.0, 1.0)
    if sensitivity + specificity > 1.01:
        apparent = apparent_parasitemia(parasitemia, sensitivity, specificity)
        assert 0 <= apparent <= 1
        assert rogan_gladen(apparent, sensitivity, specificity) == pytest.approx(parasitemia, abs=1e-9)


def test_healthy_reading_mirrors_the_specificity() -> None:
    labels, probability, groups = Studies(24, uneven=True).draw(np.random.default_rng(8))
    reading = healthy_reading(count_patients(labels, probability >= 0.5, groups)[::-1])
    specificity = score(labels, probability, groups).estimates["specificity"]
    assert (reading.hits, reading.total) == ((~labels & (probability >= 0.5)).sum(), (~labels).sum())
    mirrored = [1 - specificity.value, 1 - specificity.high, 1 - specificity.low]
    assert [reading.value, reading.low, reading.high] == pytest.approx(mirrored, abs=1e-12)


def test_healthy_reading_without_a_wrong_call_is_not_nothing() -> None:
    reading = healthy_reading([PatientCounts(f"P{n}", 0, 70, 0, 0) for n in range(24)])
    assert (reading.value, reading.low) == (0, 0)
    assert reading.high == pytest.approx(1 - 0.025 ** (1 / 24))
    alone = healthy_reading([PatientCounts("A", 0, 70, 0, 1), PatientCounts("B", 9, 0, 9, 0)])
    assert alone.value == 1 / 70
    assert np.isnan([alone.low, alone.high]).all()


def test_three_called_of_forty() -> None:
    slide = corrected_parasitemia(3, 40, ALIKE)
    assert (slide.called, slide.counted) == (3, 40)
    assert slide.estimate == pytest.approx((3 / 40 - 0.02) / 0.94)
    # The exact interval of 3 in 40, turned back: all patients are alike, and well known.
    exact = scipy.stats.binomtest(3, 40).proportion_ci()
    turned = [rogan_gladen(end, 0.96, 0.98) for end in (exact.low, exact.high)]
    assert [slide.low, slide.high] == pytest.approx(turned, abs=0.005)
    # So many may also be called of a person without parasites.
    assert slide.low == 0


def test_patients_who_differ_make_a_slide_less_sure() -> None:
    unlike = [PatientCounts(f"P{number:02}", 500, 500, 480, 0 if number % 4 else 40) for number in range(40)]
    sure, unsure = (corrected_parasitemia(100, 1000, patients) for patients in (ALIKE, unlike))
    assert sure.estimate == unsure.estimate
    assert unsure.low < sure.low
    assert unsure.high > sure.high
    blanks = [limit_of_detection(1000, patients) for patients in (ALIKE, unlike)]
    assert blanks[1].blank > 2 * blanks[0].blank
    assert blanks[1].limit > 1.5 * blanks[0].limit


def test_counting_more_cells_helps_until_patients_prevail() -> None:
    patients = tried(np.random.default_rng(0), 40)
    slides = [corrected_parasitemia(n // 5, n, patients) for n in (40, 400, 40_000)]
    widths = [slide.high - slide.low for slide in slides]
    assert widths[0] > 1.5 * widths[1] > 1.5 * widths[2] > 0.02
    limits = [limit_of_detection(counted, patients) for counted in (20, 500, 1000, 5000)]
    assert [found.counted for found in limits] == [20, 500, 1000, 5000]
    assert limits[0].limit > limits[1].limit > limits[2].limit > limits[3].limit
    # How much patients differ remains, however many cells are counted.
    assert limits[3].limit > 0.6 * limits[1].limit
    assert limits[3].limit > healthy_reading(patients).value


def test_slides_at_the_ends() -> None:
    ends = {
        (0, 1): (0, 1),
        (1, 1): (0, 1),
        (0, 1000): (0, 0.005),
        (1000, 1000): (0.99, 1),
        (40, 40): (0.95, 1),
    }
    for (called, counted), expected in ends.items():
        slide = corrected_parasitemia(called, counted, ALIKE)
        assert slide.estimate == (called > 0)
        assert (slide.low, slide.high) == pytest.approx(expected, abs=0.02)


@settings(max_examples=40)
@given(st.integers(1, 300), st.data())
def test_interval_holds_the_estimate_and_rises_with_the_calls(counted: int, data: st.DataObject) -> None:
    called = data.draw(st.integers(0, counted))
    patients = tried(np.random.default_rng(1), 12)
    slide = corrected_parasitemia(called, counted, patients, resamples=100)
    assert 0 <= slide.low <= slide.estimate <= slide.high <= 1
    if called < counted:
        more = corrected_parasitemia(called + 1, counted, patients, resamples=100)
        assert slide.low <= more.low
        assert slide.high <= more.high
    assert corrected_parasitemia(called, counted, patients[::-1], resamples=100) == slide


def test_detection_limits_worked_by_hand() -> None:
    found = limit_of_detection(1000, ALIKE, resamples=4000)
    # Nearly Poisson: 95 % of slides without parasites have at most 27 or 28 of 20 ± 4.4 cells called.
    blank = scipy.stats.binom.ppf(0.95, 1000, 0.02) / 1000
    assert found.blank == pytest.approx(blank, abs=0.0011)
    # There 95 % of the slides have more cells called than that.
    apparent = apparent_parasitemia(found.limit, 0.96, 0.98)
    above = scipy.stats.binom.sf(round(found.blank * 1000), 1000, apparent)
    assert above == pytest.approx(0.95, abs=0.02)


def test_no_parasitemia_is_detected_where_patients_hide_it() -> None:
    # Of one patient in five no cell is found.
    patients = [PatientCounts(f"P{n:02}", 50, 50, 0 if n % 5 == 0 else 50, n % 3) for n in range(30)]
    found = limit_of_detection(500, patients)
    assert 0 < found.blank < 0.2
    assert np.isnan(found.limit)


@pytest.mark.slow
def test_interval_covers_the_parasitemia_of_new_patients() -> None:
    rng = np.random.default_rng(5)
    times = 300
    covered = 0
    for study in range(times):
        patients = tried(rng, 40)
        parasitemia = rng.choice([0.01, 0.05, 0.3])
        apparent = apparent_parasitemia(parasitemia, rng.beta(*SENSITIVITIES), 1 - rng.beta(*FALSE_POSITIVES))
        called = int(rng.binomial(1000, apparent))
        slide = corrected_parasitemia(called, 1000, patients, resamples=200, seed=study)
        covered += slide.low <= parasitemia <= slide.high
    assert 0.92 <= covered / times <= 0.98, covered


@pytest.mark.slow
def test_blank_is_passed_by_one_healthy_slide_in_twenty() -> None:
    rng = np.random.default_rng(6)
    passed = []
    for study in range(60):
        found = limit_of_detection(500, tried(rng, 60), resamples=300, seed=study)
        passed.append(np.mean(rng.binomial(500, rng.beta(*FALSE_POSITIVES, 500)) > round(found.blank * 500)))
    assert 0.03 < np.mean(passed) < 0.08


def test_drawn_rates_have_the_mean_and_the_spread_of_the_patients() -> None:
    rng = np.random.default_rng(3)
    cells = np.full(400, 60)
    hits = rng.binomial(cells, rng.beta(2.0, 30.0, 400))
    rates = draw_rates(hits, cells, draw_groups(400, 20_000, 0), rng)
    true = scipy.stats.beta(2.0, 30.0)
    assert rates.mean() == pytest.approx(true.mean(), abs=0.006)
    # The raw shares also differ by the chance of counting 60 cells.
    assert rates.std() == pytest.approx(true.std(), rel=0.12)
    assert (hits / cells).std() > 1.15 * true.std()
    # Patients who differ by chance alone get one rate.
    rates = draw_rates(rng.binomial(cells, 0.1), cells, draw_groups(400, 2_000, 0), rng)
    assert rates.std() < 0.02
    assert rates.mean() == pytest.approx(0.1, abs=0.01)


def test_one_patient_tells_no_interval() -> None:
    lonely = [PatientCounts("A", 50, 50, 45, 2), PatientCounts("B", 50, 0, 45, 0)]
    slide, limit = corrected_parasitemia(3, 40, lonely), limit_of_detection(500, lonely)
    assert slide.estimate == pytest.approx((3 / 40 - 0.04) / 0.86)
    assert np.isnan([slide.low, slide.high, limit.blank, limit.limit]).all()


USELESS = [PatientCounts("A", 10, 10, 3, 4), PatientCounts("B", 10, 10, 5, 4)]


@pytest.mark.parametrize(
    ("function", "reason", "cases"),
    [
        (
            corrected_parasitemia,
            "bad_counts",
            [(*counts, ALIKE) for counts in ((0, 0), (5, 4), (-1, 4), (0, -1))],
        ),
        (corrected_parasitemia, "no_information", [(3, 40, USELESS)]),
        (limit_of_detection, "bad_counts", [(0, ALIKE)]),
        (limit_of_detection, "no_information", [(500, USELESS)]),
        (rogan_gladen, "no_information", [(0.1, 0.5, 0.5)]),
        (rogan_gladen, "bad_rate", [(1.5, 0.9, 0.9)]),
        (apparent_parasitemia, "bad_rate", [(float("nan"), 0.9, 0.9), (0.1, 97, 0.9)]),
    ],
)
def test_wrong_input_is_refused(
    function: Callable[..., object], reason: str, cases: list[tuple[object, ...]]
) -> None:
    for arguments in cases:
        with refused(ParasitemiaError, reason):
            function(*arguments)


def test_patients_without_a_class_are_refused() -> None:
    with refused(MetricsError, "one_class"):
        healthy_reading([PatientCounts("A", 1, 0, 1, 0)])
    for patients in ([], [PatientCounts("A", 0, 9, 0, 1)]):
        with refused(MetricsError, "one_class"):
            corrected_parasitemia(3, 40, patients)
        with refused(MetricsError, "one_class"):
            limit_of_detection(500, patients)
