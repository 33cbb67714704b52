"""Thresholds: what their rules promise, on ties, at the ends, after rounding."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from malaria_detect.metrics import OPERATING_RULES, MetricsError, choose_threshold, score
from tests.metrics.studies import Cells, Studies, some_cells
from tests.refused import refused


def one_each(cells: int) -> list[str]:
    """Every cell of a patient of its own."""
    return [f"P{index}" for index in range(cells)]


def chosen(labels: np.ndarray, probability: np.ndarray, rule: str) -> float:
    try:
        return choose_threshold(labels, probability, one_each(len(labels)), rule)
    except MetricsError:
        assume(False)
        raise


@given(some_cells(), st.sampled_from(["balanced", "counting"]))
def test_no_other_threshold_keeps_the_rule_better(cells: Cells, rule: str) -> None:
    labels, probability, _ = cells
    threshold = chosen(labels, probability, rule)
    every = np.unique(probability)
    cuts = np.append((every[1:] + every[:-1]) / 2, threshold)
    sensitivity = np.array([(probability >= cut)[labels].mean() for cut in cuts])
    specificity = np.array([(probability < cut)[~labels].mean() for cut in cuts])
    assert sensitivity[-1] > 0 < specificity[-1]
    if rule == "counting":
        assert specificity[-1] >= 0.995 > specificity[cuts < threshold].max(initial=0)
    else:
        assert (sensitivity + specificity <= sensitivity[-1] + specificity[-1] + 1e-12).all()


def test_screening_is_the_highest_threshold_whose_printed_interval_keeps_its_promise() -> None:
    labels, probability, groups = Studies(40).draw(np.random.default_rng(0))
    threshold = choose_threshold(labels, probability, groups, "screening")
    assert score(labels, probability, groups, threshold).estimates["sensitivity"].low >= 0.97
    missed_next = np.sort(probability[labels & (probability > threshold)])[:3]
    for one in missed_next:
        assert score(labels, probability, groups, one + 1e-6).estimates["sensitivity"].low < 0.97


@given(some_cells(), st.sampled_from(["balanced", "counting"]), st.integers(0, 1000))
def test_rounding_changes_neither_the_threshold_nor_a_call(cells: Cells, rule: str, seed: int) -> None:
    labels, probability, _ = cells
    threshold = chosen(labels, probability, rule)
    noise = np.random.default_rng(seed).uniform(-1e-12, 1e-12, len(probability))
    shaken = np.clip(probability + noise, 0, 1)
    assert chosen(labels, shaken, rule) == pytest.approx(threshold, abs=1e-11)
    assert ((shaken >= threshold) == (probability >= threshold)).all()


def test_share_that_is_met_exactly_keeps_the_rule() -> None:
    # 199 of 200 uninfected cells lie below 0.5.
    labels = np.arange(300) < 100
    probability = np.where(labels, 0.8, 0.2)
    probability[-1:] = 0.9
    assert choose_threshold(labels, probability, one_each(300), "counting") == pytest.approx(0.5)
    # One less does not.
    probability[-2] = 0.9
    with refused(MetricsError, "no_solution"):
        choose_threshold(labels, probability, one_each(300), "counting")


def test_of_equally_balanced_thresholds_the_one_nearest_to_one_half_is_taken() -> None:
    labels = [True, False, True, False, True, False]
    probability = [0.95, 0.9, 0.6, 0.45, 0.3, 0.1]
    assert choose_threshold(labels, probability, one_each(6), "balanced") == pytest.approx(0.525)
    # As near on both sides: the lower one.
    two = choose_threshold([True, False, True, False], [0.8, 0.6, 0.4, 0.2], one_each(4), "balanced")
    assert two == pytest.approx(0.3)


@pytest.mark.parametrize("rule", OPERATING_RULES)
@pytest.mark.parametrize("probability", [[0.5, 0.5, 0.5, 0.5], [0.1, 0.2, 0.8, 0.9]])
def test_probabilities_without_information_give_no_threshold(rule: str, probability: list[float]) -> None:
    labels = [True, True, False, False]
    with refused(MetricsError, "no_solution"):
        choose_threshold(labels, probability, one_each(4), rule)


@pytest.mark.parametrize(
    ("labels", "groups", "rule", "reason"),
    [
        ([True, False], ["A", "B"], "strict", "bad_setting"),
        ([True, True], ["A", "B"], "balanced", "one_class"),
        ([True, False], ["A"], "screening", "bad_groups"),
    ],
)
def test_wrong_input_is_refused(labels: list[bool], groups: list[str], rule: str, reason: str) -> None:
    with refused(MetricsError, reason):
        choose_threshold(labels, [0.9, 0.1], groups, rule)
