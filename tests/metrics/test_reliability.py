"""Reliability bins: equal in mass, adding up to the calibration error, honest about patients."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.metrics import MetricsError, ReliabilityBin, reliability_bins, score
from malaria_detect.metrics._vectorized import equal_mass_bins
from tests.metrics.studies import Cells, Studies, some_cells
from tests.refused import refused


@given(some_cells(), st.randoms(use_true_random=False))
def test_bins_add_up_to_the_calibration_error_in_any_order(cells: Cells, random: np.random.Generator) -> None:
    labels, probability, groups = cells
    bins = reliability_bins(labels, probability, groups)
    assert sum(one.cells for one in bins) == len(labels)
    assert sum(one.cells * one.share for one in bins) == pytest.approx(labels.sum())
    error = sum(one.cells * abs(one.mean_probability - one.share) for one in bins) / len(labels)
    ece = score(labels, probability, groups, resamples=2).estimates["ece"].value
    assert error == pytest.approx(ece, abs=1e-12)
    means = [one.mean_probability for one in bins]
    assert means == sorted(means)
    assert all(0 <= one.low <= one.share <= one.high <= 1 and one.low < one.high for one in bins)
    order = list(range(len(labels)))
    random.shuffle(order)
    assert reliability_bins(labels[order], probability[order], groups[order]) == bins


@pytest.mark.parametrize(("cells", "bins"), [(30, 15), (31, 15), (44, 15), (7, 15), (22_609, 15), (100, 3)])
def test_bins_hold_equally_many_cells(cells: int, bins: int) -> None:
    probability = np.random.default_rng(0).permutation(cells) / cells
    sizes = np.bincount(equal_mass_bins(probability, bins))
    assert sizes.sum() == cells
    assert max(sizes) - min(sizes[sizes > 0]) <= 1
    assert np.count_nonzero(sizes) == min(cells, bins)


def test_equal_probabilities_stay_together() -> None:
    probability = np.array([0.1] * 5 + [0.2] * 20 + [0.9] * 5)
    labels = [False] * 15 + [True] * 15
    assert [one.cells for one in reliability_bins(labels, probability, ["A", "B"] * 15)] == [5, 20, 5]


def test_cells_of_patients_who_do_not_differ_have_wilsons_interval() -> None:
    # One cell a patient: nothing can resemble.
    labels, probability = np.arange(40) % 4 == 0, np.full(40, 0.3)
    (found,) = reliability_bins(labels, probability, np.arange(40).astype(str))
    wilson = scipy.stats.binomtest(10, 40).proportion_ci(method="wilson")
    assert found == ReliabilityBin(40, 0.3, 0.25, pytest.approx(wilson.low), pytest.approx(wilson.high))  # type: ignore[arg-type]


def test_cells_of_a_patient_that_are_all_alike_count_once() -> None:
    # Ten patients with four cells each, which all have the patient's label: ten cases.
    labels = np.repeat([True, True, True, *[False] * 7], 4)
    (found,) = reliability_bins(labels, np.full(40, 0.3), np.repeat(np.arange(10), 4).astype(str))
    wilson = scipy.stats.binomtest(3, 10).proportion_ci(method="wilson")
    assert [found.low, found.high] == pytest.approx([wilson.low, wilson.high])


def test_bin_of_one_label_is_as_unsure_as_the_others() -> None:
    labels, probability, groups = Studies(24).draw(np.random.default_rng(1))
    sure = probability < np.quantile(probability, 1 / 15)
    first = reliability_bins(labels & ~sure, probability, groups)[0]
    assert (first.share, first.low) == (0, 0)
    assert first.high > scipy.stats.binomtest(0, first.cells).proportion_ci(method="wilson").high


def test_wrong_input_is_refused() -> None:
    with refused(MetricsError, "bad_setting"):
        reliability_bins([True, False], [0.9, 0.1], ["A", "B"], 0)
    with refused(MetricsError, "bad_groups"):
        reliability_bins([True, False], [0.9, 0.1], ["A"])
    with refused(MetricsError, "one_class"):
        reliability_bins([True, True], [0.9, 0.1], ["A", "B"])
