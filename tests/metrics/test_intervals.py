"""Intervals: against plain loops and examples worked by hand, at the ends of the range, in simulation."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from malaria_detect.metrics import _vectorized as formulas
from malaria_detect.metrics import difference, score
from malaria_detect.metrics.intervals import interval, interval_of_absolute, leave_one_out, widening
from malaria_detect.metrics.types import Groups
from tests.metrics.studies import Cells, Studies

METRICS = {
    "accuracy": lambda labels, probability: sklearn.metrics.accuracy_score(labels, probability >= 0.5),
    "mcc": lambda labels, probability: sklearn.metrics.matthews_corrcoef(labels, probability >= 0.5),
    "roc_auc": sklearn.metrics.roc_auc_score,
    "average_precision": sklearn.metrics.average_precision_score,
    "brier": sklearn.metrics.brier_score_loss,
}


def small_study() -> Cells:
    labels, probability, groups = Studies(12).draw(np.random.default_rng(6))
    return labels[::9], probability[::9], groups[::9]


@pytest.mark.parametrize("name", METRICS)
def test_interval_is_that_of_a_plain_loop_over_resamples(name: str) -> None:
    labels, probability, groups = small_study()
    names, group = np.unique(groups, return_inverse=True)
    n = len(names)
    draws = np.random.default_rng(3).multinomial(n, np.full(n, 1 / n), size=40)
    drawn = [np.repeat(np.arange(len(labels)), times[group]) for times in draws]
    resampled, without = (
        np.array([METRICS[name](labels[cells], probability[cells]) for cells in chosen])
        for chosen in (drawn, [group != one for one in range(n)])
    )
    # The text of malaria_detect.metrics.intervals, step by step.
    u = without - without.mean()
    df = min(n - 1, 2 * (u**2).sum() ** 2 / ((u**4).sum() - (u**2).sum() ** 2 / n))
    error = max(np.std(resampled), np.sqrt((n - 1) / n * (u**2).sum()))
    half = scipy.stats.t.ppf(0.975, df) * error * np.sqrt(1 + 1 / df)
    least = -1 if name == "mcc" else 0
    share = (METRICS[name](labels, probability) - least) / (1 - least)
    ends = scipy.special.logit(share) + np.array([-1, 1]) * half / (1 - least) / (share * (1 - share))
    expected = least + (1 - least) * scipy.special.expit(ends)
    found = score(labels, probability, groups, resamples=40, seed=3).estimates[name]
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-12)


def test_patients_who_really_bear_on_a_score_are_counted() -> None:
    def expected(freedom: int) -> float:
        return float(scipy.stats.t.ppf(0.975, freedom) / 1.96 * (1 + 1 / freedom) ** 0.5)

    normal = np.random.default_rng(0).normal(size=400)
    assert widening(normal, groups=400) == pytest.approx(expected(400), abs=0.01)
    assert widening(np.array([1.0] + 99 * [0.0]), groups=100) == pytest.approx(expected(2), rel=0.04)
    # Never surer than the number of patients allows.
    assert widening(np.array([1.0, -1.0, 0.0, 0.0]), groups=2) == pytest.approx(expected(1), rel=0.01)


def test_many_patients_are_left_out_several_at_once() -> None:
    assert (leave_one_out(3) == 1 - np.eye(3)).all()
    rows = leave_one_out(1_200)
    assert rows.shape == (500, 1_200)
    assert ((1 - rows).sum(axis=0) == 1).all()


def test_seed_decides_the_interval_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = small_study()
    first = score(*cells, resamples=101)
    assert score(*cells, resamples=101) == first
    assert score(*cells, resamples=101, seed=1).estimates["f1"] != first.estimates["f1"]
    monkeypatch.setattr(formulas, "_BLOCK_NUMBERS", 7 * len(cells[0]))
    assert score(*cells, resamples=101) == first


@pytest.mark.parametrize(("patients", "low"), [(3, 0.2924), (24, 0.8575), (160, 0.9772)])
def test_no_wrong_or_no_right_cell_leaves_room_for_patients_to_come(patients: int, low: float) -> None:
    groups = np.repeat(np.arange(patients).astype(str), 20)
    labels = np.arange(len(groups)) % 2 == 0
    estimates, wrong = (
        score(truth, np.where(labels, 0.9, 0.1), groups, resamples=50).estimates
        for truth in (labels, ~labels)
    )
    for name in ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc", "average_precision"):
        assert [estimates[name].low, estimates[name].high] == pytest.approx([low, 1.0], abs=1e-4)
    assert [estimates["mcc"].low, estimates["mcc"].high] == pytest.approx([2 * low - 1, 1.0], abs=1e-4)
    for name in ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc"):
        assert [wrong[name].low, wrong[name].high] == pytest.approx([0, 1 - low], abs=1e-4)
    assert [wrong["mcc"].value, wrong["mcc"].low] == [-1, -1]
    # Of 160 patients, 3.69 in 160 is the rule of three with 2.5 % on this side.
    assert interval(1.0, np.ones(9), np.ones(160), groups=160)[0] == pytest.approx(1 - 3.69 / 160, abs=1e-3)


def without_interval(labels: ArrayLike, probability: ArrayLike, groups: Groups, resamples: int) -> set[str]:
    estimates = score(labels, probability, groups, resamples=resamples).estimates
    return {name for name, estimate in estimates.items() if np.isnan([estimate.low, estimate.high]).all()}


def test_one_patient_or_one_resample_gives_no_interval() -> None:
    assert len(without_interval([True, False, False], [0.9, 0.6, 0.1], ["A", "A", "A"], 50)) == 10
    assert len(without_interval(*small_study(), 1)) == 10
    # Only patient A has parasitized cells.
    groups = ["A", "A", "B", "C", "C"]
    missing = without_interval([True, True, False, False, False], [0.9, 0.2, 0.6, 0.3, 0.1], groups, 50)
    assert missing >= {"sensitivity", "roc_auc", "average_precision", "mcc"}
    assert "specificity" not in missing


def test_resamples_without_a_class_are_left_out() -> None:
    # About one resample in eight holds only the infected or only the healthy patients.
    labels = [True, True, True, False, False]
    estimates = score(labels, [0.9, 0.8, 0.3, 0.4, 0.1], ["A", "B", "B", "C", "D"], resamples=300).estimates
    assert 0 < estimates["roc_auc"].low < estimates["roc_auc"].value < estimates["roc_auc"].high < 1


def test_calibration_error_of_a_calibrated_model_may_be_nothing() -> None:
    rng = np.random.default_rng(2)
    probability = rng.random(3_000)
    labels = rng.random(3_000) < probability
    groups = rng.integers(0, 40, 3_000).astype(str)
    ece = score(labels, probability, groups, resamples=300).estimates["ece"]
    # What the percentiles of the resamples would say: noise upon noise.
    assert ece.value > 0.01
    assert ece.low == 0
    off = score(labels, probability**3, groups, resamples=300).estimates["ece"]
    assert 0.1 < off.low < off.value < off.high < 0.4


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.0, 0.2))
def test_interval_of_a_sum_of_absolute_values_holds_it(seed: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    middle = rng.normal(scale=far / 15, size=15)
    without = np.abs(middle + rng.normal(scale=0.001, size=(20, 15))).sum(axis=1)
    low, high = interval_of_absolute(middle, middle + rng.normal(scale=0.001, size=(50, 15)), without)
    value = np.abs(middle).sum()
    assert 0 <= low <= value * (1 + 1e-12)
    assert value <= high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [False, True])
def test_interval_covers_the_truth_for_new_patients(uneven: bool) -> None:
    """About 95 % of studies must cover the known truth."""
    studies = Studies(30, uneven)
    population = studies.population()
    truth = population.scores()
    rng = np.random.default_rng(2)
    times = 200
    covered = dict.fromkeys(truth, 0)
    for study in range(times):
        labels, probability, groups = studies.draw(rng)
        estimates = score(labels, probability, groups, resamples=100, seed=study).estimates
        truth["ece"] = population.calibration_error(probability)
        for name, value in truth.items():
            covered[name] += estimates[name].low <= value <= estimates[name].high
    for name, number in covered.items():
        assert 0.92 <= number / times <= 0.98, (name, covered)


@pytest.mark.slow
def test_paired_interval_covers_the_true_difference() -> None:
    """The better model takes back each mistake on a parasitized cell with a chance of 0.3."""
    rng = np.random.default_rng(22)
    population = Studies(24).population()
    missed = 1 - population.scores()["sensitivity"]
    covered, times = 0, 200
    for _ in range(times):
        labels, probability, groups = Studies(24).draw(rng)
        better = np.where((probability < 0.5) & labels & (rng.random(len(labels)) < 0.3), 0.9, probability)
        found = difference(labels, better, probability, groups, resamples=300)["sensitivity"]
        covered += found.low <= 0.3 * missed <= found.high
    assert 0.92 <= covered / times <= 0.98, covered
