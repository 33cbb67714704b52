"""Temperature: found again, the best of all, and refused where there is none."""

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from malaria_detect.metrics import MetricsError, fit_temperature, scaled, score
from tests.refused import refused


def test_scaling_mends_the_calibration_and_keeps_the_order() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(scale=2.5, size=20_000)
    labels = rng.random(len(logits)) < scipy.special.expit(logits)
    temperature = fit_temperature(2.5 * logits, labels)
    assert temperature == pytest.approx(2.5, rel=0.04)
    groups = (np.arange(len(labels)) % 50).astype(str)
    raw, mended = (
        score(labels, scaled(2.5 * logits, T), groups, resamples=20).estimates for T in (1.0, temperature)
    )
    assert raw["ece"].value > 0.05 > 0.015 > mended["ece"].value
    assert mended["brier"].value < raw["brier"].value
    assert mended["roc_auc"].value == pytest.approx(raw["roc_auc"].value, abs=1e-12)


@given(st.lists(st.tuples(st.integers(-40, 40), st.booleans()), min_size=3, max_size=30), st.floats(0.05, 20))
def test_no_other_temperature_is_likelier(cells: list[tuple[int, bool]], other: float) -> None:
    logits, labels = np.array([z / 4 for z, _ in cells]), np.array([label for _, label in cells])
    assume(labels.any() and not labels.all())
    try:
        temperature = fit_temperature(logits, labels)
    except MetricsError:
        assume(False)
    best, rival = (sklearn.metrics.log_loss(labels, scaled(logits, T)) for T in (temperature, other))
    assert best <= rival + 1e-9


@given(st.floats(0.1, 10), st.permutations(range(12)))
def test_temperature_follows_the_logits_and_not_their_order(factor: float, order: list[int]) -> None:
    logits = np.array([3.0, -2.0, 1.0, 0.5, -0.5, 2.0, -3.0, -1.0, 4.0, 0.1, -0.2, -1.5])
    labels = np.array([True, False, True, False, True, True, False, False, True, True, False, True])
    plain = fit_temperature(logits, labels)
    assert fit_temperature(factor * logits[order], labels[order]) == pytest.approx(factor * plain, rel=1e-6)
    # The classes swap as the logits turn round.
    assert fit_temperature(-logits, ~labels) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize(
    ("reason", "labels", "cases"),
    [
        (
            "no_solution",
            [True, True, False],
            [[2.0, 1.0, -1.0], [2.0, 0.0, -1.0], [-2.0, -1.0, 1.0], [1.0, 1.0, 2.0]],
        ),
        ("bad_probability", [True, False], [[1.0, np.inf], [1.0, np.nan], [1.0], np.eye(2), ["a", "b"]]),
        ("one_class", [True, True], [[1.0, 2.0]]),
        ("bad_labels", [1, 0], [[1.0, 2.0]]),
    ],
)
def test_no_temperature_is_made_up(reason: str, labels: list[bool], cases: list[ArrayLike]) -> None:
    for logits in cases:
        with refused(MetricsError, reason):
            fit_temperature(logits, labels)


def test_scaled_is_the_sigmoid_and_never_overflows() -> None:
    assert scaled([3.0, -1e4, 1e4], 1.5) == pytest.approx([1 / (1 + np.exp(-2)), 0.0, 1.0])
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with refused(MetricsError, "bad_setting"):
            scaled([1.0], temperature)
