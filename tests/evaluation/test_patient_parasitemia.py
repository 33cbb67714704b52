"""Estimated and true parasitemia: patients whose answer is known by hand, and a simulation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.core.json_io import to_json
from malaria_detect.data.census import CensusError, PatientCensus
from malaria_detect.evaluation.cross_validation import CrossValidationError, HeldOut
from malaria_detect.evaluation.patient_parasitemia import read_parasitemia
from malaria_detect.evaluation.run_patient_parasitemia import evaluate_parasitemia, mixture_parasitemia
from malaria_detect.inference.calibrate import Logits
from malaria_detect.metrics import OPERATING_RULES
from malaria_detect.metrics.parasitemia import rogan_gladen
from tests.refused import refused
from tests.tools.records import made_up_metadata, made_up_parasitemia, made_up_patients, made_up_run


def four_patients() -> Logits:
    """Two patients with 20 parasitized of 1,000 cells and two with 500; 40 uninfected cells each."""
    rows = []
    for group, infected in (("few1", 20), ("few2", 20), ("many1", 500), ("many2", 500)):
        cells = [("Uninfected", number, -2.0) for number in range(1, 41)]
        cells += [("Parasitized", number, 2.0) for number in range(1001 - infected, 1001)]
        # One in 40 uninfected cells is called, and one in ten parasitized cells is missed.
        cells[0] = ("Uninfected", 1, 2.0)
        cells[40::10] = [(label, number, -2.0) for label, number, _ in cells[40::10]]
        rows += [
            (f"{group}_IMG_1_cell_{number}.png", group, label, label, value) for label, number, value in cells
        ]
    return Logits(*zip(*rows, strict=True))


def test_patients_known_by_hand() -> None:
    metadata = made_up_metadata()
    shipped = evaluate_parasitemia(
        made_up_patients(), made_up_run(), (metadata, four_patients()), resamples=20
    ).shipped
    assert shipped is not None
    assert [(one.group, one.parasitized, one.sampled, one.cells) for one in shipped.patients] == [
        *(("few1", 20, 40, 1000), ("few2", 20, 40, 1000), ("many1", 500, 40, 1000), ("many2", 500, 40, 1000))
    ]
    assert [point.thresholds for point in shipped.points] == [
        (one.threshold,) for one in metadata.operating_points
    ]
    point = shipped.point("balanced")
    few, many = (18 + 980 / 40) / 1000, (450 + 500 / 40) / 1000
    assert point.columns["apparent"] == pytest.approx([few, few, many, many])
    corrected = [rogan_gladen(round(1000 * share) / 1000, 0.9, 39 / 40) for share in (few, few, many, many)]
    assert point.columns["corrected"] == pytest.approx(corrected)
    # As counted, 4.25 % for 2 % and 46.25 % for 50 %.
    assert (point.raw.within_quarter.hits, point.corrected.within_quarter.hits) == (2, 4)
    assert (point.raw.within_half_point.hits, point.corrected.within_half_point.hits) == (0, 4)
    assert point.raw.bias == pytest.approx((few + many - 0.52) / 2)
    assert point.coverage.hits == 4
    # 40 cells of which one is called, standing for 980 and for 500.
    variances = [(n / 1000) ** 2 * (1 - 40 / n) * (1 / 40) * (39 / 40) / 39 for n in (980, 500)]
    assert point.sampling_sd == pytest.approx(np.sqrt(np.mean(variances)))


@pytest.mark.parametrize("parasitized", [0, 15, 300])
def test_the_share_of_a_mixture_is_found_in_the_scores(parasitized: int) -> None:
    cells = made_up_patients()
    # A patient without a shift of his own: scores like those of all others.
    rng = np.random.default_rng(0)
    labels = ["Uninfected"] * 700 + ["Parasitized"] * parasitized
    own = [(f"A_IMG_1_cell_{n}.png", "A", 1, label) for n, label in enumerate(labels, start=1)]
    drawn = [rng.choice(cells.p[np.array(cells.labels) == label]) for label in labels]
    rows = [(*one, float(p), one[3]) for one, p in zip(own, drawn, strict=True)]
    together = HeldOut(*(a + b for a, b in zip(vars(cells).values(), zip(*rows, strict=True), strict=True)))
    patient = PatientCensus("A", parasitized, 700, len(labels), exact=True)
    assert mixture_parasitemia(together, patient) == pytest.approx(patient.parasitemia, abs=0.02)


def test_nothing_is_chosen_on_the_patient_that_is_scored() -> None:
    cells = made_up_patients()
    patient = 1  # infected, and in the second fold
    own = np.array(cells.groups) == sorted(set(cells.groups))[patient]
    changed = replace(cells, probability=tuple(np.where(own, cells.p**3, cells.p).round(6).tolist()))
    after = evaluate_parasitemia(changed, made_up_run(), resamples=20).cross_validation
    pairs = [*zip(made_up_parasitemia().cross_validation.points, after.points, strict=True)]
    for before, now in pairs:
        assert before.thresholds[1] == now.thresholds[1]
        assert before.readings[patient].blank == now.readings[patient].blank
        assert before.readings[patient].apparent != now.readings[patient].apparent
    assert any(before.thresholds != now.thresholds for before, now in pairs)


def test_intervals_contain_the_truth_of_simulated_patients() -> None:
    cells = [made_up_patients(seed, patients=40) for seed in (1, 2)]
    studies = [evaluate_parasitemia(one, made_up_run(), resamples=100).cross_validation for one in cells]
    for name in OPERATING_RULES:
        points = [study.point(name) for study in studies]
        # With a coverage of 95 %, fewer than 70 of 80 are seen once in 200 simulations.
        assert sum(point.coverage.hits or 0 for point in points) >= 70
        biases = np.abs([[point.raw.bias, point.corrected.bias] for point in points]).mean(axis=0)
        assert biases[1] < biases[0]


def test_detection_grows_with_the_parasitemia() -> None:
    point = made_up_parasitemia().cross_validation.point("counting")
    for bands in (point.raw_detected, point.corrected_detected):
        assert bands[0].detected.value <= 0.2
        assert bands[-1].detected.value > 0.9


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "parasitemia.json"
    with refused(CrossValidationError, "missing"):
        read_parasitemia(file)
    file.write_text(to_json(made_up_parasitemia()), encoding="utf-8")
    assert read_parasitemia(file) == made_up_parasitemia()


def test_random_splits_and_patients_without_a_census_are_refused() -> None:
    cells = made_up_patients(patients=10)
    with refused(CrossValidationError, "wrong_splits"):
        evaluate_parasitemia(cells, made_up_run("random"))
    first = cells.groups[-1]
    kept = [n for n, group in enumerate(cells.groups) if group != first or cells.parasitized[n]]
    with refused(CensusError, "incomplete", naming=first):
        evaluate_parasitemia(cells.cells(kept), made_up_run())
