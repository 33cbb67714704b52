"""Reliability bins: equal in mass, adding up to the calibration error, honest about patients."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.metrics import MetricsError, ReliabilityBin, reliability_bins, score
from malaria_detect.metrics._vectorized import equal_mass_bins
from tests.metrics.studies import Cells, Studies, some_cells


@settings(max_examples=80, deadline=None)
@given(some_cells())
def test_bins_add_up_to_the_cells_and_to_the_calibration_error(cells: Cells) -> None:
    labels, probability, groups = cells
    bins = reliability_bins(labels, probability, groups)
    assert sum(one.cells for one in bins) == len(labels)
    assert sum(one.cells * one.share for one in bins) == pytest.approx(labels.sum())
    error = sum(one.cells * abs(one.mean_probability - one.share) for one in bins) / len(labels)
    assert error == pytest.approx(
        score(labels, probability, groups, resamples=2).estimates["ece"].value, abs=1e-12
    )
    means = [one.mean_probability for one in bins]
    assert means == sorted(means)
    for one in bins:
        assert 0 <= one.low <= one.share <= one.high <= 1
        assert one.low < one.high


@settings(max_examples=40, deadline=None)
@given(some_cells(), st.randoms(use_true_random=False))
def test_order_of_the_cells_does_not_matter(cells: Cells, random: np.random.Generator) -> None:
    order = list(range(len(cells[0])))
    random.shuffle(order)
    labels, probability, groups = cells
    assert reliability_bins(labels[order], probability[order], groups[order]) == reliability_bins(
        labels, probability, groups
    )


@pytest.mark.parametrize(("cells", "bins"), [(30, 15), (31, 15), (44, 15), (7, 15), (22_609, 15), (100, 3)])
def test_bins_hold_equally_many_cells(cells: int, bins: int) -> None:
    probability = np.random.default_rng(0).permutation(cells) / cells
    sizes = np.bincount(equal_mass_bins(probability, bins))
    assert sizes.sum() == cells
    assert max(sizes) - min(sizes[sizes > 0]) <= 1
    assert np.count_nonzero(sizes) == min(cells, bins)


def test_equal_probabilities_stay_together() -> None:
    probability = np.array([0.1] * 5 + [0.2] * 20 + [0.9] * 5)
    assert [len(set(equal_mass_bins(probability)[probability == p])) for p in (0.1, 0.2, 0.9)] == [1, 1, 1]
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


@pytest.mark.parametrize(
    ("labels", "groups", "bins", "reason"),
    [
        ([True, False], ["A", "B"], 0, "bad_setting"),
        ([True, False], ["A"], 15, "bad_groups"),
        ([True, True], ["A", "B"], 15, "one_class"),
    ],
)
def test_wrong_input_is_refused(labels: list[bool], groups: list[str], bins: int, reason: str) -> None:
    with pytest.raises(MetricsError) as refused:
        reliability_bins(labels, [0.9, 0.1], groups, bins)
    assert refused.value.reason == reason
