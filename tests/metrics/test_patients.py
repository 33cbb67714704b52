"""Patients: counted, ranked, and how many of them are called nearly as they are labelled."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
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
from tests.refused import refused


@given(some_cells(), st.randoms(use_true_random=False))
def test_patients_add_up_to_the_scores(cells: Cells, random: np.random.Generator) -> None:
    labels, probability, groups = cells
    patients = count_patients(labels, probability >= 0.5, groups)
    assert [patient.group for patient in patients] == sorted(set(groups))
    scores = score(labels, probability, groups, resamples=2)
    for name in ("cells", "parasitized", "true_positive", "false_positive"):
        assert sum(getattr(patient, name) for patient in patients) == getattr(scores, name)
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
    assert (ill.cells, ill.sensitivity, ill.false_positive_rate, ill.accuracy) == (5, 2 / 3, 0.5, 0.6)
    assert np.isnan(healthy.sensitivity)
    assert (healthy.false_positive_rate, healthy.accuracy) == (0, 1)
    assert np.isnan(PatientCounts("C", 1, 0, 1, 0).false_positive_rate)


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
    assert (len(worst_patients(patients)), worst_patients([])) == (5, ())


@pytest.mark.parametrize(("called", "hits"), [(10, 1), (15, 1), (5, 1), (16, 0), (4, 0)])
def test_five_points_are_within_five_points(called: int, hits: int) -> None:
    # 10 of 100 cells are parasitized; 0.15 - 0.1 is a little more than 0.05 to a computer.
    patient = PatientCounts("A", 10, 90, min(called, 10), max(called - 10, 0))
    found = share_within([patient], points=0.05)
    assert (found.hits, found.total, found.value) == (hits, 1, hits)
    # Mistakes that cancel leave the share right.
    assert share_within([PatientCounts("A", 10, 90, 0, 10)], points=0).hits == 1


def test_interval_of_the_fraction_is_wilsons() -> None:
    right, wrong = PatientCounts("A", 1, 1, 1, 0), PatientCounts("A", 1, 1, 0, 0)
    found = share_within([right] * 21 + [wrong] * 3)
    wilson = scipy.stats.binomtest(21, 24).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == (21 / 24, wilson.low, wilson.high)


def test_wrong_input_is_refused() -> None:
    for counts in ((1, 1, 2, 0), (1, 1, 0, 2), (1, 1, -1, 0), (0, 0, 0, 0)):
        with refused(MetricsError, "bad_counts"):
            PatientCounts("X", *counts)
    for labels, called in (([True, False], [1, 0]), ([True, False], [True]), ([1, 0], [True, False])):
        with refused(MetricsError, "bad_labels"):
            count_patients(labels, called, ["A", "B"])
    with refused(MetricsError, "bad_counts"):
        share_within([])
