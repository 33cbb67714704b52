"""Patients: counted, ranked, and how many of them are called nearly as they are labelled."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.metrics import (
    MetricsError,
    PatientCounts,
    count_patients,
    score,
    share_within,
    worst_patients,
)
from tests.metrics.studies import Cells, some_cells


@settings(max_examples=80, deadline=None)
@given(some_cells(), st.randoms(use_true_random=False))
def test_patients_add_up_to_the_scores(cells: Cells, random: np.random.Generator) -> None:
    labels, probability, groups = cells
    patients = count_patients(labels, probability >= 0.5, groups)
    assert [patient.group for patient in patients] == sorted(set(groups))
    scores = score(labels, probability, groups, resamples=2)
    assert sum(patient.cells for patient in patients) == scores.cells
    assert sum(patient.parasitized for patient in patients) == scores.parasitized
    assert sum(patient.true_positive for patient in patients) == scores.true_positive
    assert sum(patient.false_positive for patient in patients) == scores.false_positive
    accuracy = sum(patient.accuracy * patient.cells for patient in patients) / scores.cells
    assert accuracy == pytest.approx(scores.estimates["accuracy"].value)
    order = list(range(len(labels)))
    random.shuffle(order)
    assert count_patients(labels[order], probability[order] >= 0.5, groups[order]) == patients


def test_counts_and_shares_worked_by_hand() -> None:
    labels = [True, True, True, False, False, False, False]
    called = [True, True, False, True, False, False, False]
    healthy, ill = count_patients(labels, called, ["B", "B", "B", "B", "B", "A", "A"])
    assert ill == PatientCounts("B", parasitized=3, uninfected=2, true_positive=2, false_positive=1)
    assert (ill.cells, ill.sensitivity, ill.false_positive_rate) == (5, 2 / 3, 0.5)
    assert (ill.accuracy, ill.called_share, ill.labelled_share) == (0.6, 0.6, 0.6)
    assert np.isnan(healthy.sensitivity)
    assert (healthy.false_positive_rate, healthy.accuracy, healthy.labelled_share) == (0, 1, 0)
    assert np.isnan(PatientCounts("C", 1, 0, 1, 0).false_positive_rate)


def test_one_class_alone_can_be_counted() -> None:
    assert count_patients([False], [True], ["A"]) == (PatientCounts("A", 0, 1, 0, 1),)


def test_worst_patients_come_first() -> None:
    patients = [
        PatientCounts("best", 5, 5, 5, 0),
        PatientCounts("half of two", 1, 1, 0, 0),
        PatientCounts("half of four", 2, 2, 0, 0),
        PatientCounts("half too", 2, 2, 1, 1),
        PatientCounts("none", 0, 1, 0, 1),
    ]
    names = [patient.group for patient in worst_patients(patients, 4)]
    assert names == ["none", "half of four", "half too", "half of two"]
    assert worst_patients(patients[::-1], 4) == worst_patients(patients, 4)
    assert len(worst_patients(patients)) == 5
    assert worst_patients([]) == ()


@pytest.mark.parametrize(("called", "hits"), [(10, 1), (15, 1), (5, 1), (16, 0), (4, 0)])
def test_five_points_are_within_five_points(called: int, hits: int) -> None:
    # 10 of 100 cells are parasitized; 0.15 - 0.1 is a little more than 0.05 to a computer.
    patient = PatientCounts("A", 10, 90, min(called, 10), max(called - 10, 0))
    found = share_within([patient], points=0.05)
    assert (found.hits, found.total, found.value) == (hits, 1, hits)


def test_mistakes_that_cancel_leave_the_share_right() -> None:
    assert share_within([PatientCounts("A", 10, 90, 0, 10)], points=0).hits == 1


def test_interval_of_the_fraction_is_wilsons() -> None:
    right, wrong = PatientCounts("A", 1, 1, 1, 0), PatientCounts("A", 1, 1, 0, 0)
    found = share_within([right] * 21 + [wrong] * 3)
    wilson = scipy.stats.binomtest(21, 24).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == (21 / 24, wilson.low, wilson.high)
    assert {type(number) for number in (found.value, found.low, found.high)} == {float}


@pytest.mark.parametrize("counts", [(1, 1, 2, 0), (1, 1, 0, 2), (1, 1, -1, 0), (0, 0, 0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(MetricsError):
        PatientCounts("X", *counts)


@pytest.mark.parametrize(
    ("labels", "called"), [([True, False], [1, 0]), ([True, False], [True]), ([1, 0], [True, False])]
)
def test_wrong_input_is_refused(labels: list[bool], called: list[bool]) -> None:
    with pytest.raises(MetricsError) as refused:
        count_patients(labels, called, ["A", "B"])
    assert refused.value.reason == "bad_labels"


def test_no_patient_has_no_fraction() -> None:
    with pytest.raises(MetricsError):
        share_within([])
