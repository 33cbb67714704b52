"""Scores: against scikit-learn, against examples worked by hand, by property."""

import subprocess
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.metrics import MetricsError, difference, roc_auc, roc_curve, roc_points, score
from malaria_detect.metrics._vectorized import Formulas, equal_mass_bins
from tests.metrics.studies import Cells, Studies, some_cells
from tests.refused import refused

NAMES = ["accuracy", "sensitivity", "specificity", "precision", "f1", "mcc"]
NAMES += ["roc_auc", "average_precision", "brier", "ece"]


def test_example_worked_by_hand() -> None:
    # At 0.5: called parasitized are 0.9, 0.6 (right), 0.5 (wrong); missed is 0.3.
    labels = [True, True, True, False, False, False, False]
    probability = [0.9, 0.6, 0.3, 0.5, 0.3, 0.2, 0.1]
    scores = score(labels, probability, ["A", "B", "C", "A", "B", "C", "C"], resamples=10)
    assert (scores.cells, scores.patients, scores.parasitized, scores.threshold) == (7, 3, 3, 0.5)
    assert list(scores.estimates) == NAMES
    counts = {name: (estimate.hits, estimate.total) for name, estimate in scores.estimates.items()}
    proportions = {"accuracy": (5, 7), "sensitivity": (2, 3), "specificity": (3, 4), "precision": (2, 3)}
    assert counts == dict.fromkeys(NAMES, (None, None)) | proportions
    values = {name: estimate.value for name, estimate in scores.estimates.items()}
    for name, (hits, total) in proportions.items():
        assert values[name] == hits / total
    assert values["f1"] == pytest.approx(4 / 6)
    assert values["mcc"] == pytest.approx((2 * 3 - 1 * 1) / (3 * 4 * 3 * 4) ** 0.5)
    # Of the 12 pairs 0.9 and 0.6 win 4 each; 0.3 loses to 0.5, ties with 0.3 and wins 2.
    assert values["roc_auc"] == pytest.approx(10.5 / 12)
    # Down to 0.9 and 0.6 all are right; down to 0.3, three of five.
    assert values["average_precision"] == pytest.approx((1 + 1 + 3 / 5) / 3)
    assert values["brier"] == pytest.approx((0.01 + 0.16 + 0.49 + 0.25 + 0.09 + 0.04 + 0.01) / 7)
    # Each cell has a bin of its own, but for the two of 0.3, which are wrong by -0.7 and 0.3.
    assert values["ece"] == pytest.approx((0.1 + 0.4 + 0.4 + 0.5 + 0.2 + 0.1) / 7)


@given(some_cells(), st.integers(0, 16).map(lambda sixteenths: sixteenths / 16))
def test_values_are_those_of_scikit_learn_within_their_intervals(cells: Cells, threshold: float) -> None:
    labels, probability, groups = cells
    scores = score(labels, probability, groups, threshold, resamples=30)
    called = probability >= threshold
    row = [scores.true_negative, scores.false_positive, scores.false_negative, scores.true_positive]
    assert sklearn.metrics.confusion_matrix(labels, called).ravel().tolist() == row
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(labels, called),
        "sensitivity": sklearn.metrics.recall_score(labels, called),
        "specificity": sklearn.metrics.recall_score(~labels, ~called),
        "precision": sklearn.metrics.precision_score(labels, called, zero_division=np.nan),
        "f1": sklearn.metrics.f1_score(labels, called),
        "mcc": sklearn.metrics.matthews_corrcoef(labels, called),
        "roc_auc": sklearn.metrics.roc_auc_score(labels, probability),
        "average_precision": sklearn.metrics.average_precision_score(labels, probability),
        "brier": sklearn.metrics.brier_score_loss(labels, probability),
    }
    values = {name: estimate.value for name, estimate in scores.estimates.items() if name != "ece"}
    assert values == pytest.approx(expected, abs=1e-12, nan_ok=True)
    for name, estimate in scores.estimates.items():
        if not np.isnan(estimate.low):
            least = -1 if name == "mcc" else 0
            assert least <= estimate.low <= estimate.value <= estimate.high <= 1, (name, estimate)


@given(some_cells(), st.data())
def test_resampled_values_are_those_of_scikit_learn_on_the_drawn_cells(
    cells: Cells, data: st.DataObject
) -> None:
    labels, probability, groups = cells
    names, group = np.unique(groups, return_inverse=True)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names))))
    formulas = Formulas.of(labels, probability, group, len(names), 0.5)
    found = {name: float(values[0]) for name, values in formulas.values(times[None].astype(float)).items()}
    cell = np.repeat(np.arange(len(labels)), times[group])
    if not 0 < labels[cell].sum() < len(cell):
        assert np.isnan([found["roc_auc"], found["mcc"]]).all()
        return
    drawn, sure = labels[cell], probability[cell]
    expected = {
        "mcc": sklearn.metrics.matthews_corrcoef(drawn, sure >= 0.5),
        "roc_auc": sklearn.metrics.roc_auc_score(drawn, sure),
        "average_precision": sklearn.metrics.average_precision_score(drawn, sure),
        "brier": sklearn.metrics.brier_score_loss(drawn, sure),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    # The bins are those of the whole cells.
    bins = equal_mass_bins(probability)[cell]
    excess = np.bincount(bins, sure - drawn)
    assert found["ece"] == pytest.approx(np.abs(excess).sum() / len(cell), abs=1e-12)


@given(some_cells())
def test_swapping_the_classes_swaps_sensitivity_and_specificity(cells: Cells) -> None:
    labels, probability, groups = cells
    threshold = 17 / 32  # no probability lies on it, so that no cell is called by the tie
    there = score(labels, probability, groups, threshold, resamples=30).estimates
    back = score(~labels, 1 - probability, groups, 1 - threshold, resamples=30).estimates
    assert repr(back["sensitivity"]) == repr(there["specificity"])
    assert repr(back["specificity"]) == repr(there["sensitivity"])
    assert repr(back["accuracy"]) == repr(there["accuracy"])
    for name in ("mcc", "roc_auc", "brier"):
        assert asdict(back[name]) == pytest.approx(asdict(there[name]), abs=1e-12, nan_ok=True)


@given(some_cells(), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_cells_nor_counting_them_twice_matters(
    cells: Cells, random: np.random.Generator
) -> None:
    labels, probability, groups = cells
    order = list(range(len(labels)))
    random.shuffle(order)
    twice = np.repeat(order, 2)
    once, shuffled, doubled = (
        score(labels[chosen], probability[chosen], groups[chosen], resamples=30)
        for chosen in (np.arange(len(labels)), order, twice)
    )
    # repr, because NaN is not equal to itself.
    assert repr(shuffled) == repr(once)
    for name, estimate in once.estimates.items():
        again, expected = doubled.estimates[name], [estimate.value, estimate.low, estimate.high]
        assert [again.value, again.low, again.high] == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(some_cells())
def test_difference_is_that_of_the_scores_and_turns_round(cells: Cells) -> None:
    labels, probability, groups = cells
    other = np.sqrt(probability)
    there = difference(labels, probability, other, groups, resamples=30)
    back = difference(labels, other, probability, groups, resamples=30)
    ours, theirs = (score(labels, p, groups, resamples=5).estimates for p in (probability, other))
    for name, estimate in there.items():
        assert estimate.value == pytest.approx(ours[name].value - theirs[name].value, nan_ok=True)
        turned = [-back[name].value, -back[name].high, -back[name].low]
        assert [estimate.value, estimate.low, estimate.high] == pytest.approx(turned, abs=1e-12, nan_ok=True)
        assert estimate.hits is estimate.total is None
    assert list(there) == NAMES
    for estimate in difference(labels, probability, probability, groups, resamples=30).values():
        assert {estimate.value, estimate.low, estimate.high} <= {0.0} or np.isnan(estimate.low)


def test_pairing_sees_a_difference_that_two_intervals_hide() -> None:
    labels, probability, groups = Studies(40).draw(np.random.default_rng(3))
    worse = np.where(np.arange(len(labels)) % 30 == 0, 0.5, probability)
    ours, theirs = (
        score(labels, p, groups, resamples=300).estimates["roc_auc"] for p in (probability, worse)
    )
    assert theirs.high > ours.low
    assert difference(labels, probability, worse, groups, resamples=300)["roc_auc"].low > 0


def test_as_many_patients_as_cells_need_no_square_of_memory() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.5
    probability = rng.random(20_000)
    scores = score(labels, probability, np.arange(20_000).astype(str), resamples=20)
    assert scores.estimates["roc_auc"].value == pytest.approx(
        sklearn.metrics.roc_auc_score(labels, probability)
    )


@pytest.mark.parametrize("cells", [*range(380, 420, 3), 1_000, 22_609])
@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 3.5, 5.0, None])
def test_thinned_roc_keeps_the_shape_of_the_curve(cells: int, distance: float | None) -> None:
    rng = np.random.default_rng(cells)
    if distance is None:
        # Classes in turn: equal steps up and right, of which even thinning could keep every upper corner.
        labels, probability = np.arange(cells) % 2 == 0, np.linspace(0, 1, cells)
    else:
        labels = rng.random(cells) < 0.5
        probability = 1 / (1 + np.exp(-rng.normal(np.where(labels, distance, 0), size=cells)))
    roc = roc_points(labels, probability)
    x, y = np.array(roc).T
    assert len(x) <= 200
    assert [roc[0], roc[-1]] == [(0.0, 0.0), (1.0, 1.0)]
    assert (np.diff(roc, axis=0) >= 0).all()
    area = sklearn.metrics.roc_auc_score(labels, probability)
    assert sklearn.metrics.auc(x, y) == pytest.approx(area, abs=1e-3)
    # Every point of the whole curve lies near the thinned one.
    all_x, all_y, _ = sklearn.metrics.roc_curve(labels, probability)
    along = np.interp(all_x + all_y, x + y, x)
    assert np.abs(along - all_x).max() < 0.02


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=40).filter(
        lambda cells: len({label for label, _ in cells}) == 2
    )
)
def test_the_roc_curve_and_its_area_are_those_of_scikit_learn(cells: list[tuple[bool, int]]) -> None:
    labels, log_odds = (np.array(column) for column in zip(*cells, strict=True))
    assert roc_auc(labels, log_odds) == pytest.approx(sklearn.metrics.roc_auc_score(labels, log_odds))
    expected = sklearn.metrics.roc_curve(labels, log_odds)[:2]
    np.testing.assert_allclose(roc_curve(labels, log_odds), expected)


def test_precision_of_a_model_that_calls_nothing_is_undefined() -> None:
    estimates = score([True, True, False], [0.2, 0.1, 0.1], ["A", "B", "C"], resamples=50).estimates
    precision = estimates["precision"]
    assert np.isnan([precision.value, precision.low, precision.high]).all()
    assert (precision.hits, precision.total) == (0, 0)
    assert estimates["f1"].value == 0
    assert estimates["mcc"].value == 0


def test_wrong_input_is_refused() -> None:
    right = {
        "labels": [True, True, False, False],
        "probability": [0.9, 0.8, 0.2, 0.1],
        "groups": list("ABAB"),
    }
    wrong: dict[str, list[tuple[str, object]]] = {
        "bad_labels": [
            ("labels", labels) for labels in ([0, 0, 1, 1], ["Parasitized"] * 4, [[True] * 4], [])
        ],
        "one_class": [("labels", [True] * 4), ("labels", [False] * 4)],
        "bad_probability": [
            *(("probability", [0.9, 0.8, 0.2, last]) for last in (float("nan"), 10, -1e-9)),
            *(("probability", given) for given in ([0.9, 0.8, 0.2], [[0.9, 0.1]] * 4, list("abcd"))),
        ],
        "bad_groups": [
            ("groups", groups) for groups in (["A"] * 3, ["A", "", "A", "B"], ["A", None, "A", "B"])
        ],
        "bad_setting": [("threshold", 50), ("threshold", float("nan")), ("resamples", 0)],
    }
    for reason, cases in wrong.items():
        for name, value in cases:
            arguments: dict[str, Any] = right | {name: value}
            with refused(MetricsError, reason):
                score(**arguments)
            second = arguments.pop("probability")
            with refused(MetricsError, reason):
                difference(first=second, second=second, **arguments)
    with refused(MetricsError, "one_class"):
        score(np.array([], bool), [], [])


def test_scoring_needs_no_torch() -> None:
    program = (
        "import sys; from malaria_detect.metrics import score, parasitemia; "
        "assert not {'torch', 'fastai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
