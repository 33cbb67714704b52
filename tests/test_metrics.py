"""Scores: against scikit-learn, against examples worked by hand, by property, and in simulation."""

import subprocess
import sys
import time
from dataclasses import asdict
from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from malaria_detect import metrics
from malaria_detect.errors import MalariaDetectError
from malaria_detect.metrics import Estimate, MetricsError, Scores, score

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def some_cells(draw: DrawFn) -> Cells:
    """A few cells of both classes from up to five patients; probabilities are sixteenths: many are tied."""
    size = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    assume(labels.any() and not labels.all())
    sixteenths = draw(st.lists(st.integers(0, 16), min_size=size, max_size=size))
    patients = draw(st.lists(st.sampled_from("ABCDE"), min_size=size, max_size=size))
    return labels, np.array(sixteenths) / 16, np.array(patients)


def clustered_cells(rng: np.random.Generator, patients: int, cells: int) -> Cells:
    """Half the patients infected, each with a stain of their own that shifts all of their cells' logits."""
    group = np.repeat(np.arange(patients), cells)
    labels = group < patients // 2
    stain = rng.normal(scale=1.0, size=patients)[group]
    logit = np.where(labels, 1.5, -1.5) + stain + rng.normal(size=len(group))
    return labels, 1 / (1 + np.exp(-logit)), np.char.add("P", group.astype(str))


def test_example_worked_by_hand() -> None:
    # At 0.5: called parasitized are 0.9, 0.6 (right), 0.5 (wrong); missed is 0.3.
    labels = [True, True, True, False, False, False, False]
    probability = [0.9, 0.6, 0.3, 0.5, 0.3, 0.2, 0.1]
    scores = score(labels, probability, ["A", "B", "C", "A", "B", "C", "C"], resamples=10)
    assert (scores.cells, scores.patients, scores.parasitized, scores.threshold) == (7, 3, 3, 0.5)
    assert (scores.true_positive, scores.false_negative) == (2, 1)
    assert (scores.false_positive, scores.true_negative) == (1, 3)
    assert list(scores.estimates) == ["accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc"]
    counts = {name: (estimate.hits, estimate.total) for name, estimate in scores.estimates.items()}
    assert counts == {
        "accuracy": (5, 7),
        "sensitivity": (2, 3),
        "specificity": (3, 4),
        "precision": (2, 3),
        "f1": (None, None),
        "roc_auc": (None, None),
    }
    for name, (hits, total) in counts.items():
        if hits is not None and total is not None:
            assert scores.estimates[name].value == hits / total
    assert scores.estimates["f1"].value == pytest.approx(4 / 6)
    # Of the 12 pairs 0.9 and 0.6 win 4 each; 0.3 loses to 0.5, ties with 0.3 and wins 2.
    assert scores.estimates["roc_auc"].value == pytest.approx(10.5 / 12)


def test_interval_worked_by_hand() -> None:
    # Two patients, one all right and one all wrong: resamples AA, AB, BA, BB have accuracy 1, 1/2, 1/2, 0.
    scores = score([True, False, True, False], [0.9, 0.1, 0.1, 0.9], ["A", "A", "B", "B"])
    accuracy = scores.estimates["accuracy"]
    assert (accuracy.value, accuracy.low, accuracy.high) == (0.5, 0.0, 1.0)


@settings(max_examples=150, deadline=None)
@given(some_cells(), st.integers(0, 16).map(lambda sixteenths: sixteenths / 16))
def test_values_are_those_of_scikit_learn(cells: Cells, threshold: float) -> None:
    labels, probability, groups = cells
    scores = score(labels, probability, groups, threshold, resamples=5)
    called = probability >= threshold
    matrix = sklearn.metrics.confusion_matrix(labels, called)
    assert matrix.tolist() == [
        [scores.true_negative, scores.false_positive],
        [scores.false_negative, scores.true_positive],
    ]
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(labels, called),
        "sensitivity": sklearn.metrics.recall_score(labels, called),
        "specificity": sklearn.metrics.recall_score(~labels, ~called),
        "precision": sklearn.metrics.precision_score(labels, called, zero_division=np.nan),
        "f1": sklearn.metrics.f1_score(labels, called),
        "roc_auc": sklearn.metrics.roc_auc_score(labels, probability),
    }
    values = {name: estimate.value for name, estimate in scores.estimates.items()}
    assert values == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(some_cells())
def test_interval_is_that_of_a_plain_loop_over_resamples(cells: Cells) -> None:
    labels, probability, groups = cells
    names, group = np.unique(groups, return_inverse=True)
    assume(len(np.unique(group[labels])) > 1 and len(np.unique(group[~labels])) > 1)
    draws = np.random.default_rng(3).multinomial(len(names), np.full(len(names), 1 / len(names)), size=20)
    accuracies, areas = [], []
    for times in draws:
        cell = np.repeat(np.arange(len(labels)), times[group])
        accuracies.append(np.mean((probability[cell] >= 0.5) == labels[cell]))
        if 0 < labels[cell].sum() < len(cell):
            areas.append(sklearn.metrics.roc_auc_score(labels[cell], probability[cell]))
    assume(areas)
    estimates = score(labels, probability, groups, resamples=20, seed=3).estimates
    for name, resampled in (("accuracy", accuracies), ("roc_auc", areas)):
        expected = np.quantile(resampled, [0.025, 0.975])
        assert [estimates[name].low, estimates[name].high] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(some_cells(), st.randoms(use_true_random=False))
def test_order_of_the_cells_does_not_matter(cells: Cells, random: np.random.Generator) -> None:
    order = list(range(len(cells[0])))
    random.shuffle(order)
    labels, probability, groups = cells
    shuffled = score(labels[order], probability[order], groups[order], resamples=30)
    # repr, because NaN is not equal to itself.
    assert repr(shuffled) == repr(score(labels, probability, groups, resamples=30))


@settings(max_examples=60, deadline=None)
@given(some_cells())
def test_swapping_the_classes_swaps_sensitivity_and_specificity(cells: Cells) -> None:
    labels, probability, groups = cells
    threshold = 17 / 32  # no probability lies on it, so that no cell is called by the tie
    there = score(labels, probability, groups, threshold, resamples=30).estimates
    back = score(~labels, 1 - probability, groups, 1 - threshold, resamples=30).estimates
    assert repr(back["sensitivity"]) == repr(there["specificity"])
    assert repr(back["specificity"]) == repr(there["sensitivity"])
    assert repr(back["accuracy"]) == repr(there["accuracy"])
    assert asdict(back["roc_auc"]) == pytest.approx(asdict(there["roc_auc"]), abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(some_cells())
def test_counting_every_cell_twice_makes_nobody_surer(cells: Cells) -> None:
    labels, probability, groups = cells
    twice = np.repeat(np.arange(len(labels)), 2)
    doubled = score(labels[twice], probability[twice], groups[twice], resamples=30)
    for name, estimate in score(labels, probability, groups, resamples=30).estimates.items():
        again = doubled.estimates[name]
        expected = [estimate.value, estimate.low, estimate.high]
        assert [again.value, again.low, again.high] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(some_cells())
def test_intervals_are_ordered_shares(cells: Cells) -> None:
    for estimate in score(*cells, resamples=30).estimates.values():
        if not np.isnan(estimate.low):
            assert 0 <= estimate.low <= estimate.high <= 1


def test_seed_decides_the_interval_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = clustered_cells(np.random.default_rng(1), patients=12, cells=10)
    first = score(*cells, resamples=101)
    assert score(*cells, resamples=101) == first
    assert score(*cells, resamples=101, seed=1).estimates["f1"] != first.estimates["f1"]
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", 7 * len(cells[0]))
    assert score(*cells, resamples=101) == first


def test_interval_covers_the_truth_for_new_patients() -> None:
    """About 95 % of 400 studies must cover the known truth; taking cells for independent covers far fewer."""
    rng = np.random.default_rng(20)
    logit = NormalDist(1.5, 2**0.5)  # of a parasitized cell: stain and cell each have variance 1
    called_right = 1 - logit.cdf(0)
    truth = {
        "sensitivity": called_right,
        "specificity": called_right,
        "accuracy": called_right,
        # Parasitized and uninfected cells come from different patients here, so their logits are independent.
        "roc_auc": 1 - NormalDist(3, 2).cdf(0),
    }
    studies = 400
    covered = dict.fromkeys(truth, 0)
    covered_by_cells = dict.fromkeys(truth, 0)
    for study in range(studies):
        labels, probability, groups = clustered_cells(rng, patients=160, cells=6)
        every_cell_a_patient = np.arange(len(labels)).astype(str)
        by_patients = score(labels, probability, groups, resamples=300, seed=study).estimates
        by_cells = score(labels, probability, every_cell_a_patient, resamples=50, seed=study).estimates
        for name, value in truth.items():
            covered[name] += by_patients[name].low <= value <= by_patients[name].high
            covered_by_cells[name] += by_cells[name].low <= value <= by_cells[name].high
    for name in truth:
        assert 0.92 <= covered[name] / studies <= 0.98, (name, covered)
        assert covered_by_cells[name] / studies < 0.85, (name, covered_by_cells)


def test_whole_set_takes_less_than_five_seconds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(22_609) < 0.5
    probability = 1 / (1 + np.exp(-rng.normal(np.where(labels, 2, -2))))
    groups = np.char.add("P", rng.integers(0, 160, len(labels)).astype(str))
    start = time.perf_counter()
    scores = score(labels, probability, groups, resamples=2000)
    assert time.perf_counter() - start < 5
    assert scores.patients == 160


@pytest.mark.parametrize("cells", [398, 399, 1_000, 22_609])
@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 3.5, 5.0])
def test_thinned_roc_keeps_the_shape_of_the_curve(cells: int, distance: float) -> None:
    rng = np.random.default_rng(cells)
    labels = rng.random(cells) < 0.5
    probability = 1 / (1 + np.exp(-rng.normal(np.where(labels, distance, 0), size=cells)))
    assert_thinned_well(labels, probability)


def test_thinned_roc_keeps_the_shape_of_a_staircase() -> None:
    """Classes in turn: equal steps up and right, of which even thinning could keep every upper corner."""
    for cells in range(380, 420):
        assert_thinned_well(np.arange(cells) % 2 == 0, np.linspace(0, 1, cells))


def assert_thinned_well(labels: np.ndarray, probability: np.ndarray) -> None:
    scores = score(labels, probability, np.where(np.arange(len(labels)) % 4 < 2, "A", "B"), resamples=1)
    x, y = np.array(scores.roc).T
    assert len(x) <= 200
    assert [scores.roc[0], scores.roc[-1]] == [(0.0, 0.0), (1.0, 1.0)]
    assert (np.diff(scores.roc, axis=0) >= 0).all()
    assert sklearn.metrics.auc(x, y) == pytest.approx(scores.estimates["roc_auc"].value, abs=1e-3)
    # Every point of the whole curve lies near the thinned one.
    all_x, all_y, _ = sklearn.metrics.roc_curve(labels, probability)
    along = np.interp(all_x + all_y, x + y, x)
    assert np.abs(along - all_x).max() < 0.02


def test_short_roc_is_kept_whole() -> None:
    scores = score([True, True, False, False], [0.8, 0.5, 0.5, 0.2], ["A", "B", "A", "B"], resamples=1)
    assert scores.roc == ((0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0))
    assert scores.estimates["roc_auc"].value == 0.875


def test_threshold_itself_is_called_parasitized() -> None:
    scores = score([True, False], [0.3, 0.3], ["A", "B"], threshold=0.3, resamples=1)
    assert (scores.true_positive, scores.false_positive) == (1, 1)


def test_precision_of_a_model_that_calls_nothing_is_undefined() -> None:
    estimates = score([True, True, False], [0.2, 0.1, 0.1], ["A", "B", "C"], resamples=50).estimates
    precision = estimates["precision"]
    assert np.isnan([precision.value, precision.low, precision.high]).all()
    assert (precision.hits, precision.total) == (0, 0)
    assert estimates["f1"].value == 0


def test_one_patient_gives_a_value_but_no_interval() -> None:
    scores = score([True, False, False], [0.9, 0.6, 0.1], ["A", "A", "A"], resamples=50)
    assert scores.estimates["accuracy"].value == pytest.approx(2 / 3)
    for estimate in scores.estimates.values():
        assert np.isnan([estimate.low, estimate.high]).all()


def test_one_infected_patient_gives_no_interval_of_the_sensitivity() -> None:
    labels = [True, True, False, False, False]
    estimates = score(labels, [0.9, 0.2, 0.6, 0.3, 0.1], ["A", "A", "B", "C", "C"], resamples=50).estimates
    assert np.isnan(estimates["sensitivity"].low)
    assert np.isnan(estimates["roc_auc"].low)
    assert estimates["specificity"].low < estimates["specificity"].high


def test_resamples_without_a_class_are_left_out() -> None:
    # About one resample in four holds only the infected or only the healthy patients.
    labels = [True, True, False, False]
    estimates = score(labels, [0.9, 0.8, 0.2, 0.1], ["A", "B", "C", "D"], resamples=300).estimates
    assert (estimates["roc_auc"].low, estimates["roc_auc"].high) == (1, 1)


LABELS = [True, True, False, False]
PROBABILITY = [0.9, 0.8, 0.2, 0.1]
GROUPS = ["A", "B", "A", "B"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": [0, 0, 1, 1]}, r"True \(parasitized\) and False .* int64 of shape \(4,\)"),
        ({"labels": ["Parasitized"] * 4}, r"True \(parasitized\) and False"),
        ({"labels": [LABELS]}, r"bool of shape \(1, 4\)"),
        ({"labels": []}, r"float64 of shape \(0,\)"),
        ({"labels": np.array([], bool), "probability": [], "groups": []}, "0 of 0 cells are labelled"),
        ({"labels": [True] * 4}, "4 of 4 cells are labelled parasitized"),
        ({"labels": [False] * 4}, "0 of 4 cells are labelled parasitized"),
        ({"probability": PROBABILITY[:3]}, r"Each of the 4 labels .* shape \(3,\)"),
        ({"probability": [[p, 1 - p] for p in PROBABILITY]}, r"Each of the 4 labels .* shape \(4, 2\)"),
        ({"probability": list("abcd")}, "Each of the 4 labels needs one probability"),
        ({"probability": [0.9, float("nan"), 0.2, 0.1]}, "1 of 4 do not, the first is nan at place 1"),
        ({"probability": [90, 80, 20, 10]}, "4 of 4 do not, the first is 90.0 at place 0"),
        ({"probability": [0.9, 0.8, 0.2, -1e-9]}, "1 of 4 do not, the first is -1e-09 at place 3"),
        ({"groups": GROUPS[:3]}, r"Each of the 4 cells needs one patient group.*\(3,\)"),
        ({"groups": ["A", "", "A", "B"]}, "at place 1 there is ''"),
        ({"groups": ["A", None, "A", "B"]}, "at place 1 there is None"),
        ({"threshold": 50}, "between 0 and 1; it is 50"),
        ({"threshold": float("nan")}, "between 0 and 1; it is nan"),
        ({"resamples": 0}, "0 were asked for"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(wrong: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"labels": LABELS, "probability": PROBABILITY, "groups": GROUPS} | wrong
    with pytest.raises(MetricsError, match=message) as refused:
        score(**arguments)  # type: ignore[arg-type]
    assert isinstance(refused.value, MalariaDetectError)
    assert str(refused.value).endswith(".")


def test_scores_hold_plain_numbers_only() -> None:
    scores = score(LABELS, np.array(PROBABILITY, np.float32), np.array(GROUPS), np.float64(0.5), resamples=9)
    plain = asdict(scores)
    estimates = {name: Estimate(**estimate) for name, estimate in plain["estimates"].items()}
    assert Scores(**plain | {"estimates": estimates}) == scores
    for name, value in plain.items():
        if name not in ("estimates", "roc"):
            assert type(value) is (float if name == "threshold" else int), name
    assert {type(number) for point in plain["roc"] for number in point} == {float}
    numbers = {type(number) for estimate in plain["estimates"].values() for number in estimate.values()}
    assert numbers == {float, int, type(None)}


def test_scoring_needs_no_torch() -> None:
    program = "import sys, malaria_detect.metrics; print('torch' in sys.modules, 'fastai' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
